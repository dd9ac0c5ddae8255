"""A week of daily data through the loop: a poisoned day, and a model that got worse."""

import dataclasses

import pytest

from podway.export.verification import verify
from podway.export.versions import promote
from podway.framework import artifact
from podway.framework.config import Gate, NotWorse
from podway.launch.loop import loop
from tests.launch.loop import days

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

POISONED, WORSE = 3, 5


def test_a_week(tmp_path, monkeypatch):
    monkeypatch.setattr(verify, "in_fresh_process", verify.verify)
    workdir, ended, serving = tmp_path / "w", [], []
    experiment = dataclasses.replace(
        days.shop(tmp_path, "sasrec", steps=40), gate=Gate(rules=(NotWorse(margin=0.25),))
    )
    for day in range(1, 8):
        days.write(tmp_path, day, users=300, prefix="bad-" if day == POISONED else "i")
        changed = experiment
        if day == WORSE:  # a mistake in the config
            broken = dataclasses.replace(experiment.optimizer, learning_rate=3.0)
            changed = dataclasses.replace(experiment, optimizer=broken)
        ended.append(loop.once(changed, workdir))
        assert loop.once(changed, workdir) is None
        serving.append(promote.read("shop", workdir)[1])
    by_day = dict(enumerate(ended, 1))
    assert [each.outcome for each in ended] == [
        "stopped" if day in (POISONED, WORSE) else "served" for day in by_day
    ]
    assert by_day[POISONED].reason.startswith("the data check: item: ")
    assert by_day[POISONED].model is None
    assert by_day[WORSE].reason.startswith("the gate: ndcg@5 not worse by 25 %")
    assert serving[POISONED - 1] == serving[POISONED - 2]
    assert serving[WORSE - 1] == serving[WORSE - 2]
    assert serving[-1] == by_day[7].model

    # Each model goes on from the one that served, on all good days.
    assert not by_day[1].warm_start
    for day, before in ((2, 1), (4, 2), (6, 4), (7, 6)):
        assert by_day[day].warm_start == str(workdir / "runs" / "shop" / by_day[before].run)
    last = artifact.read_manifest(workdir / "datasets" / "shop" / by_day[7].dataset, "dataset")
    read = [each["path"].rpartition("-")[2] for each in last.details["raw"]]
    assert read == [f"{day}.csv" for day in (1, 2, 4, 5, 6, 7)]
