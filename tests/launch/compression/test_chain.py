"""A step of compression in an experiment: its run, what it is made from, and what is served."""

import dataclasses

import numpy as np
import pytest

import podway
from podway.export import layout
from podway.export.verification import verify
from podway.framework import artifact, config
from podway.framework.compression.quantize import Int8
from podway.framework.error import ConfigError
from podway.framework.models.sasrec import SasRec
from podway.framework.runs import run
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
