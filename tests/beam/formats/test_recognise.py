"""What the first rows say of how files are written, and where they ask."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from podway.beam.error import DataError
from podway.beam.formats import csv, reader
from podway.beam.formats.recognise import Recognised, clocks, recognise, resolve
from podway.beam.formats.times import Clock
from podway.framework.config import Characters, Columns, Csv, JsonLines, Parquet, SideTable
from podway.framework.config.features import Categorical, Cyclical
from tests.beam.conftest import make_data


def write(path, times: list, head: str = "time") -> str:
    rows = [f"u{at % 3},i{at % 2},{time}" for at, time in enumerate(times)]
    path.write_text(f"user,item,{head}\n" + "\n".join(rows) + "\n")
    return str(path)


def unit(tmp_path, times: list, **columns) -> str:
    file = write(tmp_path / "a.csv", times)
    data = make_data(file, columns=Columns(**columns))
    return recognise(data, [file]).units.get("time", "declared")


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([1_500_000_000, 5], "s"),
        ([1, 2, 3], "s"),
        (["1.5e9", "-7"], "s"),
        ([0, 0], "s"),
        (["", ""], "s"),
        ([1_600_000_000_123, 0], "ms"),
        ([1_600_000_000_123_456], "us"),
        ([1_600_000_000_123_456_789], "ns"),
        (["2016-05-01T10:00:00Z", "2016-05-01"], "iso"),
        # Most rows decide; the others will be rejected.
        ([1_600_000_000_123, 1_600_000_000_124, 1_600_000_000], "ms"),
        (["2016-05-01", "2016-05-02", "5", "x"], "iso"),
        # Not all are dates.
        ([20160509, 20160599], "s"),
        ([20160509, 1_500_000_000], "s"),
        (["20160509.5"], "s"),
    ],
)
def test_units(tmp_path, times, expected):
    assert unit(tmp_path, times) == expected


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (
            [20160509, 20161231],
            r"time is 20160509, which may be a date written as %Y%m%d, or seconds since 1970"
            r" \(1970-08-22\); set data\.columns\.time_unit to %Y%m%d, or to s",
        ),
        ([20160509101112], "written as %Y%m%d%H%M%S, or milliseconds since 1970"),
        ([201605091011], "written as %Y%m%d%H%M, or milliseconds"),
        ([201605, 201612], "written as %Y%m, or seconds"),
        ([1995, 2010], "written as %Y, or seconds"),
        (
            ["01/05/2016", "02/05/2016"],
            "time is '01/05/2016', which is neither a number nor ISO 8601; set"
            r" data\.columns\.time_unit to how it is written, such as %d/%m/%Y",
        ),
    ],
)
def test_what_may_be_read_in_several_ways_asks(tmp_path, times, message):
    with pytest.raises(DataError, match=rf"a\.csv: .*{message}"):
        unit(tmp_path, times)
    declared = "%d/%m/%Y" if isinstance(times[0], str) else "s"
    assert unit(tmp_path, times, time_unit=declared) == "declared"


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1_600_000_000_123]), "ms"),
        (pa.array([1_600_000_000_123.0]), "ms"),
        (pa.array([1], pa.timestamp("ns")), "typed"),
        (pa.array([1], pa.date32()), "typed"),
        (pa.array(["2016-05-01"]).dictionary_encode(), "iso"),
        (pa.nulls(1), "s"),
    ],
)
def test_units_of_parquet(tmp_path, column, expected):
    table = pa.table({"user": ["u"], "item": ["i"], "time": column})
    pq.write_table(table, tmp_path / "a.parquet")
    data = make_data(tmp_path / "a.parquet", format=Parquet())
    assert recognise(data, [str(tmp_path / "a.parquet")]).units == {"time": expected}


def test_the_first_file_with_rows_decides(tmp_path):
    (tmp_path / "0.csv").write_text("")
    files = [str(tmp_path / "0.csv"), write(tmp_path / "1.csv", [])]
    files += [write(tmp_path / "2.csv", ["", 0]), write(tmp_path / "3.csv", [1_600_000_000_123])]
    files += [write(tmp_path / "4.csv", [1_600_000_000])]
    assert recognise(make_data(tmp_path / "*.csv"), files).units == {"time": "ms"}


def test_features_of_time_have_units_of_their_own(tmp_path):
    line = {"user": "u", "item": "i", "time": 5, "born": "1990-01-01", "seen": 1_600_000_000_123}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(line) + "\n")
    features = (
        Cyclical("hour", column="time"),
        Cyclical("born"),
        Cyclical("seen"),
        Cyclical("told", column="seen", time_unit="us"),
        Categorical("kind", column="user"),
    )
    data = make_data(path, format=JsonLines(), features=features)
    found = recognise(data, [str(path)])
    assert found.units == {"time": "s", "hour": "s", "born": "iso", "seen": "ms"}
    assert clocks(data, found)["seen"] == Clock("ms", recognised=True)
    assert clocks(data, found)["told"] == Clock("us")
    assert list(found.notices(data)) == [
        "data: born is read as ISO 8601; time_unit of the feature 'born' declares it",
        "data: seen is read as milliseconds; time_unit of the feature 'seen' declares it",
    ]
    # The events' time is declared: so is a feature of it.
    data = make_data(path, format=JsonLines(), features=features, columns=Columns(time_unit="ms"))
    assert clocks(data, recognise(data, [str(path)]))["hour"] == Clock("ms")
    table = SideTable("user", str(path), "user", (Cyclical("born"),), JsonLines())
    assert recognise(table, [str(path)]).units == {"born": "iso"}


def test_text_and_images_have_no_units(tmp_path):
    (tmp_path / "a.txt").write_text("20160509")
    columns = Columns(user="document", item="character", time=None)
    data = make_data(tmp_path / "a.txt", format=Characters(4), columns=columns)
    assert recognise(data, [str(tmp_path / "a.txt")]) == Recognised()


def test_quotes_that_are_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('user,item,time\nu,"i,5\nu,j,6\nu,"The "k",7\n')
    data = make_data(path)
    found = recognise(data, [str(path)])
    assert found.quotes_are_text
    assert Recognised.from_json(json.loads(json.dumps(found.to_json()))) == found
    (notice,) = found.notices(data)
    assert notice.startswith("data: quotes are read as text, as only so each of the first lines")
    (batch,) = reader.read(str(path), resolve(data, found))
    assert batch.columns["item"].to_pylist() == [b'"i', b"j", b'"The "k"']
    declared = make_data(path, format=Csv(quote='"'), columns=Columns(time_unit="s"))
    assert recognise(declared, [str(path)]) == Recognised()


@pytest.mark.parametrize("delimiter", [",", "::"])
def test_a_sample_ends_with_a_whole_line(tmp_path, delimiter):
    rows = ["a", "b", *(f"u{delimiter}{at}" for at in range(50)), f'u{delimiter}"x']
    rows = [row if delimiter in row else f"{row}{delimiter}" for row in rows]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(rows) + "\n")
    format = Csv(delimiter=delimiter)
    for size in range(100, 240):
        assert not csv.quotes_are_text(str(path), format, size)
    assert csv.quotes_are_text(str(path), format, 1 << 20)
