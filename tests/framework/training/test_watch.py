"""Who watches a training may leave it at an evaluation, and go on with it later."""

import json

from podway.framework import artifact
from podway.framework.runs import run
from podway.framework.training import loop
from tests.framework.experiments import walks


def test_a_run_is_left_at_an_evaluation_and_gone_on_with(dataset, tmp_path):
    seen = []

    def watch(step, metrics):
        seen.append((step, metrics["ndcg@5"]))
        return step == 10

    left = loop.train(walks(), dataset, tmp_path, watch=watch)
    assert (left.step, left.finished) == (10, False)
    assert [step for step, _ in seen] == [10]
    assert run.steps(left.directory)[-1] == 10, "it is saved where it is left"
    assert not artifact.exists(left.directory)
    whole = loop.train(walks(), dataset, tmp_path, watch=watch)
    assert (whole.step, whole.finished, whole.directory) == (20, True, left.directory)
    assert [step for step, _ in seen] == [10, 20]
    alone = loop.train(walks(), dataset, tmp_path / "alone")
    manifests = [artifact.read(each.directory, "run") for each in (whole, alone)]
    assert manifests[0].details == manifests[1].details
    records = (whole.directory / "metrics.jsonl").read_text().splitlines()
    told = [json.loads(line).get("validation/ndcg@5") for line in records]
    assert [value for value in told if value is not None] == [value for _, value in seen]
