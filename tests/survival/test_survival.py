"""The survival table is whole, its tests exist, and a moment of some cells passes."""

import random

import pytest

from tests.survival import faults, promises
from tests.survival.moment import Home
from tests.survival.stages import STAGES


def test_each_cell_names_a_test_that_there_is():
    for path, name in promises.tests():
        assert f"def {name}(" in path.read_text(), f"{path}: {name}"
    for stage, row in promises.CELLS.items():
        assert set(row) <= set(promises.FAULTS), stage
        assert {cell.promise for cell in row.values()} <= set(promises.PROMISES)
        struck = {fault for fault, cell in row.items() if not cell.path and cell.promise != "none"}
        assert not struck or stage in STAGES
        assert struck <= {*faults.FAULTS, "oom"}, stage


def test_the_page_has_the_table_of_now():
    page = promises.PAGE.read_text()
    assert promises.written(page) == page, "python -m tests.survival.promises"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return Home(tmp_path_factory.mktemp("survival") / "of")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "fault"),
    [
        (stage, fault)
        for stage in ("data", "train", "promote")
        for fault in ("kill", "term", "disk", "flip", "denied")
        if promises.CELLS[stage][fault].promise != "none"
    ],
)
def test_a_stage_survives_a_fault(stage, fault, home):
    try:
        result = home.strike(STAGES[stage], faults.FAULTS[fault](), random.Random(stage + fault))
    except LookupError as lacking:
        pytest.skip(f"it needs {lacking}")
    assert not result.problem, result
