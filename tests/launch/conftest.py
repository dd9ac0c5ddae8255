"""Two small models through the whole chain: data, training, evaluation, export."""

import pathlib

import pytest

import podway
from podway.export.verification import verify
from tests.launch import world


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("shop")
    world.write(path)
    return path


def _made(experiment, folder) -> podway.Result:
    with pytest.MonkeyPatch.context() as patch:  # a process of its own takes longer
        patch.setattr(verify, "in_fresh_process", verify.verify)
        return podway.run(experiment, folder / "w")


@pytest.fixture(scope="session")
def shop(folder) -> podway.Result:
    return _made(world.shop(folder), folder)


@pytest.fixture(scope="session")
def timed(folder) -> podway.Result:
    return _made(world.timed(folder), folder)


@pytest.fixture(scope="session")
def run(shop) -> podway.LoadedModel:
    return podway.load(shop.run)


@pytest.fixture(scope="session")
def published(shop) -> podway.LoadedModel:
    return podway.load(shop.model)
