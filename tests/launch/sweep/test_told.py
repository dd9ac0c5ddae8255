"""What a sweep tells MLflow: itself, and below it a run for each trial."""
# pyright: reportOptionalMemberAccess=false

import math
import time

import pytest

pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'podway[tracking]'")

from podway.launch.follower.follow import Follower
from podway.launch.tracking.names import metric
from podway.launch.verbs.search import sweep
from tests.launch.sweep import examples
from tests.launch.tracking.tracked import ME, points, runs


def test_a_sweep_is_told_with_its_trials_and_again_when_it_has_gone_on(address, tmp_path):
    plan, found = examples.plan(tmp_path), examples.outcome()
    plan.directory.mkdir(parents=True)
    watch = Follower(address, str(tmp_path), ME)
    for _ in range(2):
        sweep._publish(plan, found, {}, time.time())
        watch.take({"tell": [sweep.KIND, str(plan.directory)]})
        assert watch.advance()
    told = runs(address)
    parent = told[f"sweeps/walks/{plan.version}"]
    assert len(told) == 1 + len(found.trials)
    assert "mlflow.parentRunId" not in parent.data.tags
    assert parent.data.metrics["trials"] == len(found.trials)
    assert math.isclose(parent.data.metrics["training_cost"], found.bill.total)
    assert parent.data.tags["podway.currency"] == "USD"
    assert parent.data.tags["podway.front"] == " ".join(map(str, found.front))
    assert parent.data.tags["podway.winner"].startswith("--optimizer.learning-rate ")
    for each in found.trials:
        run = told[f"sweeps part/walks/{plan.version}-{each.number}"]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["podway.state"] == each.state
        assert run.data.params["model.width"] == str(each.values["model.width"])
        if each.state == "complete":
            price = found.bill.trials[each.number]
            assert math.isclose(run.data.metrics["training_cost"], price)
        assert run.data.metrics["latency"] == each.quantities["latency"]
        assert each.state == "refused" or math.isclose(run.data.metrics["quality"], each.quality)
        curve = points(address, run, metric("validation/ndcg@5"))
        assert curve == sorted(each.validation.items())
