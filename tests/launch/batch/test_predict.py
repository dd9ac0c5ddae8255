"""Lists for everybody in one file: those of `recommend`, whatever happens on the way."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from etils import epath

import podway
from podway.framework import artifact
from podway.launch.batch import folder as folders
from podway.launch.batch import predict
from podway.launch.batch.file import OfFile
from podway.launch.batch.source import OfUsers
from podway.launch.loaded.model import LoadedModel

K = 4

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture(scope="module")
def here(shop):
    """The tests of this module share a process, and with it the model."""


def everybody(model: LoadedModel, *, targets: bool = False) -> OfUsers:
    users = model.known_users(targets=targets)
    return OfUsers(users, np.arange(len(users)), targets)


def lists(table: pa.Table, key: str = "user") -> dict:
    """Key → its items in the order of their ranks, with title and score."""
    found: dict = {}
    for row in table.to_pylist():
        assert row["rank"] == len(found.setdefault(row[key], [])) + 1
        found[row[key]].append((row["item"], row["title"], pytest.approx(row["score"], abs=1e-5)))
    return found


def recommended(found: podway.Recommendations, keys) -> dict:
    return {
        key: [(each.item, each.attributes["title"], each.score) for each in row]
        for key, row in zip(keys, found, strict=True)
        if row
    }


@pytest.mark.parametrize("kind", ["run", "published"])
@pytest.mark.parametrize("part", [7, 1000])
def test_the_file_has_the_lists_of_recommend(kind, part, request, tmp_path):
    model = request.getfixturevalue(kind)
    output = tmp_path / "x.parquet"
    made = predict.predict(model, everybody(model), output, k=K, part=part)
    table = pq.read_table(output)
    assert made is not None
    assert (made.rows, made.unanswered) == (len(table), 0)
    assert table.column_names == ["user", "rank", "item", "score", "title"]
    assert lists(table) == recommended(model.recommend(users=model.users, k=K), model.users)
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]
    about = json.loads(pq.read_metadata(output).metadata[b"podway"])
    assert about["question"]["model"] == model.place.manifest.version


def test_filters_and_targets_are_those_of_recommend(run, tmp_path):
    chosen = podway.Filter(run.items[:12], run.items[3:5])
    predict.predict(
        run, everybody(run, targets=True), tmp_path / "x.parquet", k=K, filter=chosen, part=9
    )
    found = run.recommend(users=run.users, k=K, filter=chosen, targets=True)
    assert lists(pq.read_table(tmp_path / "x.parquet")) == recommended(found, run.users)


SLOW = """
import pathlib, sys, time
import numpy as np
import podway
from podway.launch.batch import answer, predict
from podway.launch.batch.source import OfUsers
model = podway.load(sys.argv[1])
answered = answer.answer
def slowly(*arguments):
    time.sleep(0.2)
    return answered(*arguments)
answer.answer = slowly
users = model.known_users()
source = OfUsers(users, np.arange(len(users)), False)
predict.predict(model, source, pathlib.Path(sys.argv[2]), k=4, part=5)
"""


def test_killed_it_goes_on_with_the_next_part(shop, run, tmp_path, monkeypatch):
    output = tmp_path / "x.parquet"
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(shop.run), str(output)])
    folder = tmp_path / "x.parquet.parts"
    end = time.monotonic() + 120
    parts = folder / "recommendations"
    while len(list(parts.glob("part-*"))) < 3:
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < end
        time.sleep(0.02)
    with pytest.raises(podway.RequestError, match=f"another process .process {process.pid}."):
        predict.predict(run, everybody(run), output, k=K, part=5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists()
    done = sorted(path.name for path in parts.glob("part-*"))
    (parts / done[1]).write_bytes(b"PAR1 cut short")  # as after a power cut
    asked = []
    answer = run.answer

    def counted(histories, *rest):
        asked.append(histories.names[0])
        return answer(histories, *rest)

    monkeypatch.setattr(run, "answer", counted)
    predict.predict(run, everybody(run), output, k=K, part=5)
    total = -(-len(run.users) // 5)
    assert len(asked) == total - len(done) + 1
    assert asked[0] == run.users[5]  # the part that was not whole
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]
    again = tmp_path / "y.parquet"
    predict.predict(run, everybody(run), again, k=K, part=5)
    assert again.read_bytes() == output.read_bytes()


def test_a_file_that_is_there_is_not_made_again_and_never_replaced(run, tmp_path):
    output = tmp_path / "x.parquet"
    assert predict.predict(run, everybody(run), output, k=K) is not None
    before = output.read_bytes()
    (tmp_path / "x.parquet.parts").mkdir()  # killed between publishing and tidying up
    assert predict.predict(run, everybody(run), output, k=K) is None
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]
    with pytest.raises(podway.RequestError, match="of another question: k is 3 here and 4 there"):
        predict.predict(run, everybody(run), output, k=3)
    assert output.read_bytes() == before
    pq.write_table(pa.table({"a": [1]}), output)
    with pytest.raises(podway.RequestError, match="was not made by `podway predict`"):
        predict.predict(run, everybody(run), output, k=K)


def test_parts_of_another_question_are_not_taken(run, tmp_path):
    output = tmp_path / "x.parquet"
    other = folders.Folder(f"{output}.parts", "recommendations")
    with other.held():
        other.plan({"k": 1}, 0, [], pa.table({}))
    with pytest.raises(podway.RequestError, match="has parts of another question"):
        predict.predict(run, everybody(run), output, k=K)
    with pytest.raises(podway.RequestError, match=r"there is no folder .*nowhere; make it"):
        predict.predict(run, everybody(run), tmp_path / "nowhere" / "x.parquet", k=K)


def test_a_full_disk_leaves_what_was_done(run, tmp_path, monkeypatch):
    output = tmp_path / "x.parquet"
    put = folders.put

    def full(path, table):
        if "00002" in str(path):
            raise OSError(28, "No space left on device")
        return put(path, table)

    monkeypatch.setattr(folders, "put", full)
    with pytest.raises(OSError, match="No space left"):
        predict.predict(run, everybody(run), output, k=K, part=5)
    folder = tmp_path / "x.parquet.parts"
    names = ["_work/asked.parquet", "_work/lock", "_work/plan.json"]
    names += [f"recommendations/part-0000{number}.parquet" for number in (0, 1)]
    assert list(artifact.walk(epath.Path(folder))) == names


HISTORIES = [["a", "b"], ["nothing known"], ["c", "x", "d"], [], ["e"]]
"""Letters before x stand for items of the model."""


def write_file(path: pathlib.Path, **columns) -> str:
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path, row_group_size=2)
    else:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n")
    return str(path)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
@pytest.mark.parametrize("named", [True, False])
def test_a_file_of_histories(run, suffix, named, tmp_path):
    """Who has no item that the model knows has no rows, and is counted."""
    names = {"user": ["a", "b", "a", "ü", "5"]} if named else {}
    known = dict(zip("abcde", run.items, strict=False))
    histories = [[known.get(item, item) for item in row] for row in HISTORIES]
    file = write_file(tmp_path / f"h{suffix}", history=histories, **names)
    source = OfFile(file, run.engine.items, timed=False)
    assert source.total == 5
    made = predict.predict(run, source, tmp_path / "x.parquet", k=2, part=2)
    assert made is not None
    assert made.unanswered == 2
    table = pq.read_table(tmp_path / "x.parquet").to_pylist()
    expected, answered = [], [0, 2, 4]
    with pytest.warns(podway.UnknownValues):
        found = run.recommend([histories[number] for number in answered], k=2)
    for number, row in zip(answered, found, strict=True):
        whose = {"user": names["user"][number]} if named else {"history": number}
        expected += [{**whose, "rank": at, "item": each.item} for at, each in enumerate(row, 1)]
    assert [{name: row[name] for name in expected[0]} for row in table] == expected


def test_times_come_with_the_histories_of_a_file(timed, tmp_path):
    model = podway.load(timed.run)
    lists, times = [["i1", "i2"], ["i4"]], [[100, 200], [7]]
    file = write_file(tmp_path / "h.jsonl", history=lists, times=times)
    source = OfFile(file, model.engine.items, timed=True)
    predict.predict(model, source, tmp_path / "x.parquet", k=3)
    found = pq.read_table(tmp_path / "x.parquet")
    expected = model.recommend(lists, times=times, k=3)
    assert lists_of(found) == [[each.item for each in row] for row in expected]


def lists_of(table: pa.Table) -> list[list[str]]:
    return [[item for item, *_ in row] for row in lists(table, "history").values()]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("h.txt", "a", r"give a .parquet file, or a .jsonl"),
        ("h.csv", "a,b\n1,2", r"h.csv has no column \['history'\]; it has \['a', 'b'\]"),
        ("h.csv", "history,user\n1 2", "h.csv, line 2: it has not the 2 columns of the header"),
        ("h.jsonl", '{"history": ["i1"]}\nx', "h.jsonl, line 2: "),
        ("h.jsonl", "[1]", "h.jsonl, line 1: give an object a line"),
        ("h.jsonl", '{"history": "i1"}', "h.jsonl, row 1: history is 'i1'; give a list"),
        ("h.jsonl", '{"history": [1.5]}', r"h.jsonl, rows from 1: history 0 holds 1\.5"),
        (
            "h.jsonl",
            '{"history": [1], "user": "a"}\n{"history": [2]}',
            "row 2: it has no user, and the first row has one",
        ),
        ("h.parquet", "no Parquet", "cannot be read as Parquet"),
        ("h.jsonl", "", "there is nobody to predict for"),
    ],
)
def test_a_file_of_no_histories_is_one_clear_sentence(run, name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(podway.RequestError, match=message):
        predict.predict(
            run,
            OfFile(str(tmp_path / name), run.engine.items, timed=False),
            tmp_path / "x.parquet",
            k=2,
        )
    assert not (tmp_path / "x.parquet").exists()
