import dataclasses
import functools
import pathlib

import pytest

from podway.framework.config import Experiment
from podway.launch import experiments
from podway.launch.targets import frozen
from podway.launch.targets.machines.launch import Launch
from podway.launch.targets.machines.target import Machines


@functools.cache
def _frozen() -> tuple[Experiment, frozen.Frozen]:
    experiment = experiments.load("movielens_sasrec")
    return experiment, frozen.freeze(experiment)


def a_launch(*hosts: str, workdir: str = "/shared/w", **fields) -> Launch:
    """A launch of the demo's config on hosts with these fields."""
    target = dataclasses.replace(Machines(hosts=hosts or ("a", "b")), **fields)
    return Launch(*_frozen(), target, workdir)


@pytest.fixture
def state(monkeypatch, tmp_path) -> pathlib.Path:
    """The user's state, where launches are registered."""
    folder = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder
