"""`podway.run` and `podway.evaluate` beside the command."""

import json
import pathlib
import shutil
import subprocess
import sys

import podway
from tests.launch import world


def test_more_steps_are_a_run_of_their_own(shop, folder, tmp_path):
    shutil.copytree(folder / "w", tmp_path / "w")
    experiment = world.shop(folder)
    result = podway.evaluate(experiment, tmp_path / "w", more=(1,))
    assert result.run.name != shop.run.name
    stored = json.loads((result.run / "experiment.json").read_text())
    assert stored["trainer"]["steps"] == experiment.trainer.steps + 1
    assert shop.run.name in json.dumps(stored), "its parent"


TRAINER = """
import sys
for name in ("apache_beam", "farmhash", "polars", "tensorflow"):
    sys.modules[name] = None  # what podway[train] does not bring
import dataclasses, pathlib
from podway.launch import stages
from tests.launch import world
experiment = world.shop(pathlib.Path(sys.argv[1]))
trainer = dataclasses.replace(experiment.trainer, steps=1, evaluate_every=1, checkpoint_every=1)
experiment = dataclasses.replace(experiment, trainer=trainer)
print(stages.train(experiment, sys.argv[2])[1])
"""


def test_a_trainer_needs_nothing_that_reads_raw_files(shop, folder, tmp_path):
    shutil.copytree(folder / "w" / "datasets", tmp_path / "w" / "datasets")
    command = [sys.executable, "-c", TRAINER, str(folder), str(tmp_path / "w")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (pathlib.Path(done.stdout.splitlines()[-1]) / "manifest.json").exists()
