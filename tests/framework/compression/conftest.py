import dataclasses

import pytest

from podway.framework import config
from podway.framework.training import loop
from tests.framework import experiments


@pytest.fixture(scope="session")
def walks() -> config.Experiment:
    """Of two blocks with two heads each."""
    small = experiments.walks()
    return dataclasses.replace(small, model=dataclasses.replace(small.model, blocks=2, heads=2))


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("compression")


@pytest.fixture(scope="session")
def trained(walks, dataset, workdir):
    """Its run."""
    return loop.train(walks, dataset, workdir).directory
