"""Why a run is another than the latest."""

import dataclasses

import pytest
from etils import epath

from podway.framework.config import Data, Evaluation, Experiment
from podway.framework.models.ials import Ials
from podway.framework.models.popularity import Popularity
from podway.framework.runs import run
from podway.framework.training import fitting
from tests.framework.conftest import write_dataset

WALKS = Experiment(
    "walks",
    Data("walks", "by hand"),
    model=Popularity(),
    evaluation=Evaluation(cutoffs=(5, 10), batch_size=32, bootstrap=10),
)


@pytest.fixture(scope="module")
def last(tmp_path_factory):
    """A run of WALKS, and what it read."""
    workdir = epath.Path(tmp_path_factory.mktemp("workdir"))
    dataset = write_dataset(workdir / "datasets" / "walks" / "walks-1")
    return fitting.fit(WALKS, dataset, workdir), run.inputs(dataset)


def shaped(last, inputs=None, name="0-new", **parts):
    directory, read = last
    changes = {
        part: value
        if dataclasses.is_dataclass(value)
        else dataclasses.replace(getattr(WALKS, part), **value)
        for part, value in parts.items()
    }
    experiment = dataclasses.replace(WALKS, **changes)
    return run.shaped_by(experiment, inputs or read, directory.parent / name)


def test_the_fields_that_shape_a_run_are_named_old_and_new(last):
    found = shaped(last, trainer={"seed": 1, "steps": 7, "log_every": 3}, mesh={"fsdp": 2})
    assert found == ["trainer.seed 0 → 1", "trainer.steps 1000 → 7"]
    evaluation = {"cutoffs": (7,), "bootstrap": 3}
    assert shaped(last, evaluation=evaluation) == ["selection ndcg@5 → ndcg@7"]
    assert shaped(last, model=Ials(width=4)) == ["model Popularity → Ials"]


def test_other_data_are_named_by_their_fields_or_as_such(last):
    other = {"dataset": "walks-2"}
    assert shaped(last, other, data={"min_user_events": 1}) == ["data.min_user_events 5 → 1"]
    assert shaped(last, other) == ["the raw data: dataset walks-1 → walks-2"]
    both = shaped(last, other, data={"path": "x" * 90}, trainer={"seed": 1})
    assert both == ["trainer.seed 0 → 1", f"data.path by hand → {'x' * 60}…"]


def test_where_no_field_differs_it_is_the_code(last):
    code = last[0].name.rpartition("-")[2]
    assert shaped(last) == [f"the code {code} → new"]


def test_a_first_run_differs_from_none(last, tmp_path):
    assert run.shaped_by(WALKS, last[1], epath.Path(tmp_path) / "new") == []
