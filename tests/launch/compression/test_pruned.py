"""A model without some of its units, mended by the whole one, with a table of low rank in 8 bits,
to the server."""

import dataclasses

import numpy as np
import pytest

import podway
from podway.export.verification import verify
from podway.framework import artifact, config
from podway.framework.compression.distil import Distil
from podway.framework.compression.distillation import teachers
from podway.framework.compression.low_rank import LowRank
from podway.framework.compression.quantize import Int8
from podway.framework.compression.structured import Units
from podway.framework.compression.vocabulary import RareItems
from podway.framework.input.dataset import Dataset
from podway.framework.input.interactions import train_counts
from podway.framework.runs import run
from tests.launch import world


@pytest.fixture(scope="module")
def smaller(shop, folder) -> podway.Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "in_fresh_process", verify.verify)
        table = r".*/shared_rows/table"
        half = int(np.median(train_counts(Dataset.open(shop.dataset))[2:]))
        mended = Distil(teachers=("first",), top=None, hidden_weight=1.0, steps=2)
        steps = Units(), mended, RareItems(min_events=half), LowRank(rank=3, paths=(table,))
        steps = (*steps, Int8(paths=(r".*/low_rank/left",)))
        return podway.run(config.compressed(world.shop(folder), *steps), folder / "w")


def test_steps_follow_each_other(smaller, shop, folder):
    experiment, manifest, parameters = run.load(smaller.run)
    assert experiment.model == dataclasses.replace(world.shop(folder).model, feed_forward_units=16)
    left = "item/embedding/shared_rows/table/low_rank/left/int8"
    assert parameters[f"{left}/values"].dtype == np.int8
    assert not [path for path in parameters if "distillation" in path]  # what only its loss knew
    chain, runs = [], smaller.run.parent
    while parent := manifest.inputs.get("parent"):
        chain.append(parent)
        manifest = artifact.read(runs / parent, "run")
    assert len(chain) == 5
    assert chain[-1] == shop.run.name


def test_a_published_model_may_teach(smaller, shop):
    dataset = Dataset.open(shop.dataset)
    name = f"{shop.model.parent.name}/{shop.model.name}"
    (teacher,) = teachers.found((name,), smaller.run, dataset)
    assert teacher.folder == shop.run


def test_what_is_published_answers_as_the_run_does(smaller):
    ours, theirs = podway.load(smaller.run), podway.load(smaller.model)
    histories = [["i1", "i2"], ["i7"]]
    for one, other in zip(
        ours.recommend(histories, k=5), theirs.recommend(histories, k=5), strict=True
    ):
        assert [item.item for item in one] == [item.item for item in other]
