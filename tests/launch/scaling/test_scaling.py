"""`podway scaling` on a small shop."""

import dataclasses
import json

import pytest

from podway.framework.error import ConfigError
from podway.framework.models.ease import Ease
from podway.launch.scaling import grid
from podway.launch.verbs.search import scaling
from tests.launch import world


def _short(folder):
    shop = world.shop(folder)
    return dataclasses.replace(
        shop, trainer=dataclasses.replace(shop.trainer, steps=8, evaluate_every=4)
    )


def test_places_lie_evenly_in_their_logarithm(folder):
    shop = _short(folder)
    places = grid.of(shop, ("parameters", "data", "compute"), 4, 0.125, 1)
    shares = {axis: [p.share for p in places if p.axis == axis] for axis in grid.AXES}
    assert shares["parameters"] == [0.25, 0.5, 1.0], "two heads do not divide a width of one"
    assert shares["compute"] == [0.125, 0.25, 0.5, 1.0]
    assert [round(share, 3) for share in shares["data"]] == [0.125, 0.25, 0.5, 1.0]
    assert [p.experiment for p in places if p.share == 1.0] == [shop] * 3
    assert grid.of(shop, ("compute",), 3, 0.5, 2)[1].experiment.trainer.seed == (
        shop.trainer.seed + 1
    )


def test_what_has_no_width_or_no_steps_is_refused(folder):
    shop = _short(folder)
    fitted = dataclasses.replace(shop, model=Ease())
    with pytest.raises(ConfigError, match="not trained in steps"):
        scaling.scaling(scaling.Scaling(experiment=fitted))
    with pytest.raises(ConfigError, match="--smallest is 1"):
        grid.of(shop, ("data",), 3, 1.0, 1)


def test_a_study_trains_each_place_once_and_writes_its_law(shop, folder, capsys):
    experiment, workdir = _short(folder), str(folder / "w")
    options = scaling.Scaling(
        experiment=experiment, workdir=workdir, axes=("data", "compute"), points=4, smallest=0.2
    )
    scaling.scaling(options)
    found = json.loads((folder / "w/scaling/shop/scaling.json").read_text())
    assert len(found["points"]) == 8
    assert len({each["run"] for each in found["points"]}) == 7, "the whole one is on both axes"
    rows = [each["amount"] for each in found["points"] if each["axis"] == "data"]
    assert rows == sorted(rows)
    assert 0.2 * rows[-1] <= rows[0] < 0.3 * rows[-1], "rounded up in each block"
    assert set(found["laws"]) == {"data", "compute"}
    assert "<svg" in (folder / "w/scaling/shop/scaling.html").read_text()
    said = capsys.readouterr().out
    assert "compute: " in said
    scaling.scaling(options)
    assert "train: building" not in capsys.readouterr().out, "a second time all runs are there"
