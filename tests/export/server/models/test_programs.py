"""Compiled programs on disk: used at the next start, never trusted, never in the way."""

import hashlib
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from podway.export.server.error import ServerError
from podway.export.server.models import programs
from tests.export.server.conftest import Site, elsewhere, free_ports, predict_request

ROOT = pathlib.Path(__file__).parents[4]

START = """
import logging, resource, sys
from podway.export.server.models.programs import Programs
logging.basicConfig(level=logging.WARNING)
kept = Programs(sys.argv[2])
print("read", kept.read())
import numpy as np
from podway.export.server.runtime import servable
signature = servable.load(sys.argv[1]).signature("")
print("answer", *signature.run([np.arange(3, dtype=np.float32)])[0].tolist())
kept.save()
if len(sys.argv) > 3:  # a disk that takes nothing more
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    print("answer", *signature.run([np.arange(4, dtype=np.float32)])[0].tolist())
    kept.save()
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> pathlib.Path:
    """A SavedModel that XLA compiles."""

    class Model(tf.Module):
        @tf.function(jit_compile=True, input_signature=[tf.TensorSpec([None], tf.float32)])
        def double(self, x):
            return {"y": x * 2 + 1}

    path, built = tmp_path_factory.mktemp("compiled") / "1", Model()
    tf.saved_model.save(built, str(path), signatures={"serving_default": built.double})
    return path


def start(model, directory, *more: str) -> subprocess.CompletedProcess:
    # The descriptor that says what it says is this process's pipe: no file, so the limit spares it.
    return subprocess.run(
        [sys.executable, "-c", START, os.fspath(model), os.fspath(directory), *more],
        **{"cwd": ROOT, "capture_output": True, "text": True},
    )


def entries(directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in directory.glob("*/*") if path.is_file())


def test_a_second_start_compiles_nothing_and_trusts_nothing(model, tmp_path):
    directory = tmp_path / "programs"
    first = start(model, directory)
    assert first.stdout.splitlines() == ["read 0", "answer 1.0 3.0 5.0"], first.stderr
    assert directory.stat().st_mode & 0o777 == 0o700
    (entry,) = entries(directory)
    content = entry.read_bytes()

    second = start(model, directory, "full")
    assert second.stdout.splitlines() == ["read 1", "answer 1.0 3.0 5.0", "answer 1.0 3.0 5.0 7.0"]
    assert "programs are not kept" in second.stderr
    assert [path.read_bytes() for path in entries(directory)] == [content]

    entry.write_bytes(content[: len(content) // 2])
    third = start(model, directory)
    assert third.stdout.splitlines() == ["read 0", "answer 1.0 3.0 5.0"]
    assert f"{entry} is damaged: compiled anew" in third.stderr
    (entry,) = entries(directory)

    other = b"what an attacker, or no fault of a disk, would write"
    entry.write_bytes(hashlib.sha256(other).digest() + other)
    fourth = start(model, directory)
    assert fourth.stdout.splitlines() == ["read 1"], "the program on disk was not used at all"


def test_what_a_program_depends_on_is_in_the_name_of_its_folder(monkeypatch):
    keys = {programs._key()}
    monkeypatch.setattr(programs, "_processor", lambda: ["another one"])
    keys.add(programs._key())
    monkeypatch.setattr(tf.version, "GIT_VERSION", "another one")
    keys.add(programs._key())
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    keys.add(programs._key())
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(99)))
    keys.add(programs._key())
    assert len(keys) == 5


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "")
    (tmp_path / "file").touch()
    with pytest.raises(ServerError, match=r"xla_cache_directory .*/file: .*[Ee]xists"):
        programs.Programs(str(tmp_path / "file"))
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ServerError, match=r"others may write into it.*chmod go-w"):
        programs.Programs(str(tmp_path / "open"))
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory=/elsewhere")
    with pytest.raises(ServerError, match="TF_XLA_FLAGS has a --tf_xla_persistent_cache_directory"):
        programs.Programs(str(tmp_path / "new"))


def test_what_is_too_much_or_unused_is_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "")
    monkeypatch.setattr(programs, "MAX_BYTES", 250)
    kept = programs.Programs(str(tmp_path))
    for number in range(4):
        path = kept._folder / f"entry{number}.pb"
        path.write_bytes(b"x" * 100)
        os.utime(path, (1e9 + number, 1e9 + number))
    for name in ("0123456789abcdef", "not-ours"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1e9, 1e9))
    kept._tidy()
    assert [path.name for path in entries(tmp_path)] == ["entry2.pb", "entry3.pb"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [kept._folder.name, "not-ours"]
    )


@pytest.mark.slow
def test_the_server_keeps_what_warm_up_and_requests_compiled(model, tmp_path):
    """The first start compiles for the warm-up's shape and a request's, the second for neither."""
    base, kept = tmp_path / "m", tmp_path / "programs"
    Site(tmp_path, {1: model}).put(1, predict_request(x=np.float32([1])))
    for expected in (0, 2):
        ports = free_ports()
        flags = {
            "model_name": "m",
            "model_base_path": base,
            "xla_cache_directory": kept,
            "port": ports[0],
            "rest_api_port": ports[1],
        }
        command = [f"--{name}={value}" for name, value in flags.items()]
        server = subprocess.Popen(
            [sys.executable, "-m", "podway.export.server", *command],
            **{"cwd": ROOT, "stderr": subprocess.PIPE, "text": True},
        )
        with elsewhere(*ports) as client:
            end = time.monotonic() + 120
            while not (client.listens() and client.rest("/readyz")[0] == 200):
                assert server.poll() is None
                assert time.monotonic() < end
                time.sleep(0.1)
            assert len(entries(kept)) == max(1, expected)
            answer = client.rest("/v1/models/m:predict", {"instances": [1.0, 2.0]})
            assert answer == (200, {"predictions": [3.0, 5.0]})
        server.terminate()
        _, said = server.communicate(timeout=60)
        assert server.returncode == 0
        assert f"{expected} compiled programs read from {kept}" in said
        assert len(entries(kept)) == 2
