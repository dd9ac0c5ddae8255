"""The same on PostgreSQL."""

import shutil

import pytest

from podway.framework.config import Tracking
from podway.launch.follower import catch_up, tell
from podway.launch.registry import record
from podway.launch.tracking import address as addresses
from tests.launch.tracking import postgres

pytest.importorskip("mlflow", reason="mlflow is missing: pip install 'podway[tracking]'")
pytest.importorskip("psycopg", reason="psycopg is missing: pip install 'podway[tracking]'")

from tests.launch.tracking.tracked import client, points, runs


@pytest.mark.slow
def test_a_workdir_is_told_once_and_its_models_are_registered(shop, tmp_path):
    from podway.launch.tracking.database import Database

    workdir = tmp_path / "w"
    shutil.copytree(shop.run.parent.parent.parent, workdir)
    with postgres.server() as uri:
        address = addresses.of(Tracking(uri, "all"))
        assert address is not None
        assert address.uri.startswith("postgresql+psycopg://podway@")
        for _ in range(2):
            database = Database(address, workdir)
            _, found = catch_up.found(workdir)
            for kind, directory in found:
                tell.tell(database, kind, directory)
        told = runs(address)
        run = told[f"run/shop/{shop.run.name}"]
        assert run.info.status == "FINISHED"
        assert [step for step, _ in points(address, run, "loss")] == [10, 20, 30]
        assert run.data.metrics["test/hr_at_10"] > 0
        child = told[f"evaluation/shop/{shop.evaluation.name}"]
        assert child.data.tags["mlflow.parentRunId"] == run.info.run_id
        (version,) = record.versions("shop", workdir)
        (registered,) = client(address).search_model_versions("name='shop'")
        assert registered.run_id == run.info.run_id
        assert registered.tags["podway.files"] == version.files
        assert client(address).get_registered_model("shop").aliases == {"champion": 1}
        assert client(address).get_experiment_by_name("all") is not None
        database.client._tracking_client.store.engine.dispose()
