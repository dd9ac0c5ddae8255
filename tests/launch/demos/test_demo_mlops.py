"""The demo of MLOps, from its first word to its last, on a small shop."""

import pathlib
import random

import pytest

from podway.export.verification import verify
from podway.export.versions import promote
from podway.framework import exit_codes
from podway.launch import cli, demo_mlops
from podway.launch.demo_mlops import Setting
from podway.launch.gate import admission, record
from podway.online.rollout import store

ITEMS = 60
CONFIG = """
from podway.framework.config import (
    Columns, Data, Evaluation, Experiment, Export, Gate, Latency, NotWorse, Rollout, Size, Trainer
)
from podway.framework.models.sasrec import SasRec
from podway.framework.training.optimizer import AdamW


def experiment() -> Experiment:
    return Experiment(
        name="walks",
        data=Data(name="walks", path="EVENTS", columns=Columns("user", "item", "time"),
                  min_user_events=1, min_item_events=1),
        model=SasRec(width=16, blocks=1, heads=2, max_length=16),
        optimizer=AdamW(learning_rate=2e-2, warmup_steps=5),
        trainer=Trainer(batch_size=32, evaluate_every=1000, checkpoint_every=1000),
        evaluation=Evaluation(cutoffs=(10,), batch_size=64, bootstrap=10),
        export=Export(top_k=3, batch_buckets=(1, 4)),
        gate=Gate(rules=(NotWorse("ndcg@10", margin=0.2), Latency(ratio=10.0), Size(ratio=1.5)),
                  calls=5),
        rollout=Rollout(shares=(0.3, 0.5), requests=100, shortest_seconds=1.0,
                        interval_seconds=0.5, client_seconds=1.5, score_margin=None,
                        slow_margin=0.5, value_margin=0.05),
    )
"""


def setting(folder: pathlib.Path) -> Setting:
    """Users who walk over the items, one after the other, so that little training is enough."""
    draw, histories = random.Random(3), []
    for _ in range(300):
        at = draw.randrange(ITEMS)
        length = draw.randrange(8, 20)
        histories.append([f"i{(at + step) % ITEMS}" for step in range(length)])
    lines = [
        f"u{user},{item},{1_600_000_000 + 60 * step + user}"
        for user, history in enumerate(histories)
        for step, item in enumerate(history)
    ]
    (folder / "events.csv").write_text("\n".join(["user,item,time", *lines, ""]))
    config = CONFIG.replace("EVENTS", str(folder / "events.csv"))
    return Setting("walks", config, (150, 200, 1), histories, rate=30.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_the_demo_shows_is_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(verify, "in_fresh_process", verify.verify)
    ran = []

    def podway(*arguments: str, code: int = exit_codes.COMPLETE) -> None:
        """In this process, which has imported already what each command needs."""
        ran.append((arguments[0], code))
        try:
            cli.main(list(arguments))
            found = 0
        except SystemExit as end:
            found = end.code
        assert found == code, (arguments, capsys.readouterr())

    monkeypatch.setattr(demo_mlops, "podway", podway)
    workdir = str(tmp_path / "w")
    visits = demo_mlops.play(setting(tmp_path), workdir)
    said = capsys.readouterr().out
    assert [name for name, _ in ran] == [
        *("run", "export", "gate", "export", "gate", "rollout", "rollout"),
        *("served", "served", "versions"),
    ]
    assert (visits.failed, visits.answered > 200) == (0, True)
    first, last = (states := store.history(tmp_path / "w/models/walks"))[0], states[-1]
    assert (first.version, first.good) == (2, 1)
    assert [each.phase for each in states if each.version == 2][-1] == "stable"
    assert (last.version, last.good, last.phase) == (3, 2, "returned")
    assert "answers whose value is known were worth" in last.reason
    assert "version 2 answers for label 'stable'" in said
    assert admission.passed(workdir, "walks", 2) is not None
    stopped = record.latest(workdir, "walks", 3)
    assert stopped is not None
    assert not record.read(stopped).passed
    assert promote.read("walks", workdir)[0].labels == {"stable": 2}
    shares = [line for line in said.splitlines() if "of the users  (" in line]
    assert len(shares) == 2, "two versions had users at that time"
