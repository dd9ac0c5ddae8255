"""Services on a frozen experiment, as pods of the image `online` have it: no JAX, no TensorFlow."""

import os
import subprocess
import sys

import pytest

from podway.launch import cli, experiments
from podway.launch.targets import frozen

MISSING = ("jax", "flax", "tensorflow", "apache_beam")


@pytest.fixture
def folder(tmp_path):
    """A frozen experiment whose model needs JAX, and packages that fail as if they were missing."""
    for path, content in frozen.freeze(experiments.load("movielens_sasrec")).files.items():
        (tmp_path / path).write_bytes(content)
    (tmp_path / "no").mkdir()
    for name in MISSING:
        text = f"raise ModuleNotFoundError('No module named {name}', name='{name}')\n"
        (tmp_path / "no" / f"{name}.py").write_text(text)
    return tmp_path


@pytest.mark.parametrize("words", [("lander", "--drain", "--page-port", "0"), ("queue",)])
def test_it_needs_no_model(folder, words):
    verb, *options = words
    command = [verb, str(folder / frozen.FILE), "--workdir", str(folder / "w"), *options]
    done = subprocess.run(
        [sys.executable, "-m", "podway.launch.cli", *command],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "no"), *sys.path])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_no_verb_of_the_services_reads_the_model():
    verbs = cli.STAGES["online"]
    assert {"gateway", "lander", "nearline", "queue"} <= verbs.keys()
    assert [name for name, each in verbs.items() if not each.without_model] == ["up"]
