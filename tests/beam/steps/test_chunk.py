import apache_beam
import pyarrow as pa
from apache_beam.coders import typecoders
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from podway.beam.steps import chunk
from podway.beam.steps.chunk import Chunk

TABLE = pa.table({"a": list(range(50_000)), "b": pa.array(["x", "y"] * 25_000).dictionary_encode()})


def _coder() -> chunk.ChunkCoder:
    coder = typecoders.registry.get_coder(Chunk)
    assert isinstance(coder, chunk.ChunkCoder)
    return coder


def test_a_table_travels_itself_or_as_a_reference(tmp_path):
    inline = _coder().encode(Chunk(TABLE))
    with chunk.scratch(tmp_path):
        coder = _coder()
    references = [coder.encode(Chunk(TABLE.slice(start))) for start in (0, 7)]
    assert len(inline) > chunk.INLINE_BYTES > 1000 > len(references[0])
    assert _coder().decode(inline).table().equals(TABLE)
    for start, reference in zip((0, 7), references, strict=True):
        decoded = _coder().decode(reference)
        assert decoded.table().equals(TABLE.slice(start))
        assert coder.encode(decoded) == reference  # not written again
    assert len(list(tmp_path.iterdir())) == 1


def test_small_tables_are_not_written(tmp_path):
    with chunk.scratch(tmp_path):
        encoded = _coder().encode(Chunk(TABLE.slice(0, 10)))
    assert not list(tmp_path.iterdir())
    assert _coder().decode(encoded).table().equals(TABLE.slice(0, 10))


def _rows(key: int, chunks) -> tuple[int, int]:
    return key, sum(len(each.table()) for each in chunks)


def test_what_a_runner_groups_is_in_the_scratch_files(tmp_path):
    found = []
    with chunk.scratch(tmp_path), apache_beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = (
            pipeline
            | apache_beam.Create([0, 1, 2])
            | apache_beam.Map(lambda at: (at % 2, Chunk(TABLE))).with_output_types(
                tuple[int, Chunk]
            )
            | apache_beam.GroupByKey()
            | apache_beam.MapTuple(_rows)
            | apache_beam.Map(found.append)
        )
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) > 3 * TABLE.nbytes * 0.9
