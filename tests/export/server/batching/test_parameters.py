import os

import pytest

from podway.export.server.batching import parameters
from podway.export.server.batching.parameters import BatchingParameters, Large
from podway.export.server.error import ServerError

FILE = """
# As TensorFlow Serving's guide has it.
max_batch_size { value: 128 }
batch_timeout_micros { value: 2500 }
max_enqueued_batches { value: 7 }
num_batch_threads { value: 3 }
thread_pool_name { value: "pool" }
allowed_batch_sizes: 8
allowed_batch_sizes: [32, 128]
pad_variable_length_inputs: true
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "batching.txt"


def test_reads_every_field(file):
    file.write_text(FILE)
    assert parameters.read(file) == BatchingParameters(
        max_batch_size=128,
        max_execution_batch_size=128,
        timeout=0.0025,
        max_enqueued_batches=7,
        threads=3,
        allowed_batch_sizes=(8, 32, 128),
        pad_variable_length_inputs=True,
        large=Large.SPLIT,
    )


def test_an_empty_file_means_tensorflow_servings_defaults(file):
    file.write_text("")
    found = parameters.read(file)
    assert found == parameters.read(None)
    assert (found.max_batch_size, found.timeout, found.max_enqueued_batches) == (1000, 0.0, 10)
    assert found.threads == os.cpu_count()


def test_large_batches_are_split_at_the_execution_size_or_refused(file):
    file.write_text("max_batch_size { value: 64 } max_execution_batch_size { value: 16 }")
    assert parameters.read(file).max_execution_batch_size == 16
    file.write_text("enable_large_batch_splitting { value: false }")
    assert parameters.read(file).large is Large.REFUSE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_batch_size: 4", "1:17"),
        ("\n  max_batchsize { value: 4 }", '2:3.*no field named "max_batchsize".*max_batch_size'),
        ("max_batch_size { value: 'x' }", "1:25"),
        ("max_batch_size { value: 0 }", "max_batch_size is 0; give 1 or more"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros is -1; give 0 or more"),
        ("max_enqueued_batches { value: 0 }", "max_enqueued_batches is 0"),
        ("num_batch_threads { value: 0 }", "num_batch_threads is 0"),
        ("allowed_batch_sizes: [4, 8]", "ends with 8; its last number must be max_batch_size, 10"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [4, 2, 8]", "rising numbers"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [0, 8]", "rising numbers"),
        ("max_batch_size {value: 2} max_execution_batch_size {value: 4}", "at most max_batch_size"),
        (
            "max_execution_batch_size {value: 4} enable_large_batch_splitting {value: false}",
            "needs enable_large_batch_splitting",
        ),
    ],
)
def test_what_cannot_be_used_names_file_field_and_remedy(file, text, said):
    file.write_text(text)
    with pytest.raises(ServerError, match=rf"(?s)batching_parameters_file .*{said}") as raised:
        parameters.read(file)
    assert str(file) in str(raised.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ServerError, match="none does not exist"):
        parameters.read(tmp_path / "none")
    with pytest.raises(ServerError, match="cannot be read"):
        parameters.read(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ServerError, match="is not text"):
        parameters.read(tmp_path / "binary")


def test_a_models_own_parameters(tmp_path):
    assert parameters.of_model(tmp_path, 5, 2) == BatchingParameters(5, 5, threads=2)
    (tmp_path / "batching_params.pbtxt").write_text(FILE)
    found = parameters.of_model(tmp_path, 5, 2)
    assert (found.max_batch_size, found.threads) == (128, 2)


def test_padded_is_the_next_allowed_size():
    own = BatchingParameters(8, 8, allowed_batch_sizes=(2, 8))
    assert [own.padded(rows) for rows in (1, 2, 3, 8, 9)] == [2, 2, 8, 8, 9]
    assert BatchingParameters().padded(3) == 3
