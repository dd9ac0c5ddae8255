"""`podway.run` and `podway.evaluate` beside the command."""

import json
import shutil

import podway
from tests.launch import world


def test_more_steps_are_a_run_of_their_own(shop, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "shop")
    experiment = world.shop(tmp_path / "shop")
    result = podway.evaluate(experiment, tmp_path / "shop" / "w", more=(1,))
    assert result.run.name != shop.run.name
    stored = json.loads((result.run / "experiment.json").read_text())
    assert stored["trainer"]["steps"] == experiment.trainer.steps + 1
    assert shop.run.name in json.dumps(stored), "its parent"
