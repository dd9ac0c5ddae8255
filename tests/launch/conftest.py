"""Two small models through the whole chain: data, training, evaluation, export."""

import pathlib
import shutil

import pytest

import podway
from podway.export.verification import verify
from podway.launch.tracking.address import Address
from tests.launch import world


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("shop")
    world.write(path)
    return path


def made(experiment, folder) -> podway.Result:
    with pytest.MonkeyPatch.context() as patch:  # a process of its own takes longer
        patch.setattr(verify, "in_fresh_process", verify.verify)
        return podway.run(experiment, folder / "w")


@pytest.fixture(scope="session")
def shop(folder) -> podway.Result:
    return made(world.shop(folder), folder)


@pytest.fixture(scope="session")
def changing_folder(tmp_path_factory) -> pathlib.Path:
    """Another world, in which tests make more (tests/launch/changing.py)."""
    path = tmp_path_factory.mktemp("changing")
    world.write(path)
    return path


@pytest.fixture(scope="session")
def changing_shop(changing_folder) -> podway.Result:
    return made(world.shop(changing_folder), changing_folder)


@pytest.fixture(scope="session")
def timed(folder) -> podway.Result:
    return made(world.timed(folder), folder)


@pytest.fixture(scope="session")
def run(shop) -> podway.LoadedModel:
    return podway.load(shop.run)


@pytest.fixture(scope="session")
def published(shop) -> podway.LoadedModel:
    return podway.load(shop.model)


@pytest.fixture(scope="session")
def tables(tmp_path_factory) -> pathlib.Path:
    """A new database of MLflow, whose tables take many seconds to make."""
    pytest.importorskip("mlflow", reason="mlflow is missing: pip install 'podway[tracking]'")
    from podway.launch.tracking.database import Database

    folder = tmp_path_factory.mktemp("tables")
    Database(Address(f"sqlite:///{folder}/mlflow.db"), folder)
    return folder / "mlflow.db"


@pytest.fixture
def address(tables, tmp_path) -> Address:
    """Of a database of a test's own."""
    shutil.copy(tables, tmp_path / "mlflow.db")
    return Address(f"sqlite:///{tmp_path}/mlflow.db")
