"""A step of compression in an experiment: its run, what it is made from, and what is served."""

import dataclasses

import numpy as np
import pytest

import podway
from podway.export import layout
from podway.export.verification import verify
from podway.framework import artifact, config
from podway.framework.compression.quantize import Int4, Int8
from podway.framework.compression.quantize_aware import QuantizationAware
from podway.framework.error import ConfigError
from podway.framework.formats import matrix
from podway.framework.models.sasrec import SasRec
from podway.framework.runs import run
from podway.launch import stages
from tests.launch import world


@pytest.fixture(scope="session")
def smaller(shop, folder) -> podway.Result:
    """The shop's model in int8; its run is found, not trained again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "in_fresh_process", verify.verify)
        experiment = config.compressed(world.shop(folder), Int8())
        return podway.run(experiment, folder / "w")


def test_the_run_names_the_one_that_it_compresses(smaller, shop):
    manifest = artifact.read(smaller.run, "run")
    assert manifest.inputs["parent"] == shop.run.name
    _, _, parameters = run.load(smaller.run)
    assert parameters["item/embedding/int8/values"].dtype == np.int8
    assert "item/embedding" not in parameters


def test_what_is_published_answers_as_the_run_does(smaller):
    ours, theirs = podway.load(smaller.run), podway.load(smaller.model)
    histories = [["i1", "i2"], ["i7"]]
    for one, other in zip(
        ours.recommend(histories, k=5), theirs.recommend(histories, k=5), strict=True
    ):
        assert [item.item for item in one] == [item.item for item in other]


def test_the_published_model_is_smaller(smaller, shop):
    def stored(model) -> int:
        found = artifact.read_manifest(model, "model", manifest=layout.MANIFEST)
        return sum(file.size for file in found.files if "variables.data" in file.path)

    assert stored(smaller.model) < stored(shop.model)


def test_experiments_lead_back_to_what_they_were(folder):
    shop = world.shop(folder)
    once = config.compressed(shop, Int8())
    assert config.previous(once) == shop

    @dataclasses.dataclass(frozen=True)
    class Narrow(config.Compression):
        def after(self, before):
            return dataclasses.replace(before, model=SasRec(width=4, max_length=16))

    narrow = config.compressed(shop, Narrow(), Int8())
    assert narrow.model == SasRec(width=4, max_length=16)
    assert config.previous(config.previous(narrow)) == shop


def test_nothing_that_trains_comes_after_a_final_format(folder):
    class Tune(config.Compression):
        trains = True

    with pytest.raises(ConfigError, match=r"Tune comes after Int8.*put it before"):
        config.compressed(world.shop(folder), Int8(), Tune())


def test_what_is_stored_after_a_training_that_knew_of_it_is_what_it_ended_with(shop, folder):
    aware = QuantizationAware(steps=4)
    steps = (aware,), (aware, Int4())
    trained, stored = (
        stages.train(config.compressed(world.shop(folder), *each), folder / "w")[1]
        for each in steps
    )
    before, ours, theirs = (run.load(each)[2] for each in (shop.run, trained, stored))
    read = {path: matrix.dense(each) for path, each in matrix.collect(theirs).items()}
    assert "item/embedding/int4/values" in theirs
    for path, each in ours.items():
        np.testing.assert_array_equal(read[path], each, err_msg=path)
    kernel = "blocks/0/up/kernel"
    assert not np.array_equal(ours[kernel], before[kernel])
    manifests = [artifact.read(each, "run") for each in (trained, stored)]
    metrics = [each.details["validation"] for each in manifests]
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-6)
