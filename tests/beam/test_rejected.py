import json
import pathlib

import pytest
from etils import epath

from podway.beam import rejected
from podway.beam.error import DataError
from podway.framework import artifact

REPORT = {"rows": 1_010, "kept": 1_000, "filtered": {"k-core": 5}, "rejected": {"a": 3, "ab": 2}}


def _write(directory: epath.Path) -> None:
    """Three rows of reason a, two of ab, in two files."""
    rows = [("1", 1, "a"), ("1", 7, "ab"), ("1", 9, "a"), ("2", 1, "ab"), ("2", 2, "a")]
    for file in "12":
        path = directory / "rejected" / f"part-{file}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        letters = [
            {"file": f"{name}.csv", "row": row, "reason": reason, "raw": "é" * 300}
            for name, row, reason in rows
            if name == file
        ]
        path.write_text("".join(json.dumps(letter) + "\n" for letter in letters))


@pytest.fixture
def target(tmp_path: pathlib.Path) -> epath.Path:
    return epath.Path(tmp_path) / "datasets" / "n" / "v"


@pytest.fixture
def committed(target) -> epath.Path:
    with artifact.staging(target) as stage:
        _write(stage)
        artifact.commit(
            stage, kind="dataset", name="n", version="v", config={}, inputs={}, code="c",
            details={"report": REPORT},
        )  # fmt: skip
    return target


def test_counts_and_the_first_rows_of_each_reason(committed):
    raw = '"' + "é" * 199 + "…"
    assert rejected.show(committed, samples=2, reason=None).splitlines() == [
        f"dataset {committed}",
        "1,010 rows, 1,000 kept, 5 filtered by k-core, 5 rejected",
        "",
        "a: 3",
        f"  1.csv, row 1, a: {raw}",
        f"  1.csv, row 9, a: {raw}",
        "",
        "ab: 2",
        f"  1.csv, row 7, ab: {raw}",
        f"  2.csv, row 1, ab: {raw}",
    ]
    chosen = rejected.show(committed, samples=0, reason="b").splitlines()
    assert chosen[2:] == ["", "ab: 2"]
    with pytest.raises(DataError, match=r"rejected with 'noon'; the reasons are \['a', 'ab'\]"):
        rejected.show(committed, samples=1, reason="noon")


def test_rows_without_a_dataset_are_kept_until_the_next_ones(target):
    with pytest.raises(DataError, match=r"no dataset .*/v; `podway data` builds it"):
        rejected.show(target, samples=1, reason=None)
    for count in (1, 2):
        stage = artifact.stage_for(target)
        _write(stage)
        report = {**REPORT, "rows": count}
        place = rejected.keep(stage, report)
        assert rejected.keep(stage, report) == place  # a worker may repeat it
        artifact.discard(stage)
        assert {path.name for path in target.parent.iterdir()} == {"_rejected-v"}
        shown = rejected.show(target, samples=1, reason=None)
        assert shown.startswith(f"no dataset, too many rejected: {target}\n{count} rows, ")
        assert "\na: 3\n" in shown


def test_rows_are_kept_on_gs(beam_store):
    script = """
import sys
from etils import epath
from tests.beam import test_rejected
test_rejected.test_rows_without_a_dataset_are_kept_until_the_next_ones(epath.Path(sys.argv[1]))
"""
    bucket = beam_store.bucket()
    done = beam_store.run("-c", script, f"{bucket}/n/v")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    names = beam_store.names(f"{bucket}/n")
    assert names == [
        f"_rejected-v/{name}" for name in ("part-1.jsonl", "part-2.jsonl", "report.json")
    ]
