"""The loop closed: taste changes, services are killed, recommendations follow; a small world.

All services are processes of `podway up`; the commands between run in this process, which has
imported already what each of them needs.
"""

import pytest

from podway.export.verification import verify
from podway.export.versions import promote
from podway.framework import exit_codes
from podway.launch import cli, demo_online
from podway.launch.demo_online import AFTER, BEFORE, CYCLE, FOLLOWED, Setting
from podway.launch.loop import record
from podway.launch.simulation import measure
from podway.launch.simulation.world import World
from tests.export.server.conftest import free_port

CONFIG = """
from podway.framework.config import (
    Columns, Data, Evaluation, Experiment, Export, Gate, Limits, Loop, NotWorse, OneOf, Parquet,
    Rollout, Trainer
)
from podway.framework.config.online import Gateway, Lander, Online
from podway.framework.models.sasrec import SasRec
from podway.framework.training.optimizer import AdamW


def experiment() -> Experiment:
    return Experiment(
        name="tastes",
        data=Data(name="tastes", path=RAW, format=Parquet(), columns=Columns(id="id"),
                  where=(OneOf("type", ("play",)),), min_user_events=3, min_item_events=1),
        model=SasRec(width=16, blocks=1, heads=2, max_length=16),
        optimizer=AdamW(learning_rate=1e-2, warmup_steps=5),
        trainer=Trainer(steps=300, batch_size=64, evaluate_every=1000, checkpoint_every=1000),
        evaluation=Evaluation(cutoffs=(10,), batch_size=64, bootstrap=10),
        export=Export(top_k=10, batch_buckets=(1, 4)),
        loop=Loop(every=0.0,
                  limits=Limits(psi=10.0, js=1.0, new_values=1.0, examples=0.0, vocabulary=1e9)),
        gate=Gate(rules=(NotWorse("ndcg@10", margin=0.2),)),
        rollout=Rollout(shares=(0.4,), requests=40, shortest_seconds=1.0, interval_seconds=0.5,
                        client_seconds=1.5, score_margin=None, slow_margin=None),
        online=Online(gateway=Gateway(k=8, cache_seconds=0.0), lander=Lander(seconds=2.0)),
    )
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_recommendations_follow_and_nothing_is_lost(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(verify, "in_fresh_process", verify.verify)

    def podway(*arguments: str, code: int = exit_codes.COMPLETE) -> None:
        try:
            cli.main(list(arguments))
            found = 0
        except SystemExit as end:
            found = end.code
        assert found == code, (arguments, capsys.readouterr())

    monkeypatch.setattr(demo_online, "podway", podway)
    # Few visits to many items, so that on a slow machine, too, nobody has seen all there is.
    world = World(users=200, genres=4, items=30, new=12)
    setting = Setting(
        CONFIG, "tastes", world, rate=8.0, past=14, seconds=10.0, pause=4.0, port=free_port()
    )
    story = demo_online.Story(setting, str(tmp_path))
    story.tell()
    visits = story.visits
    assert (visits.failed, story.lost) == (0, 0)
    assert {each.phase for each in visits.seen} == {BEFORE, AFTER, CYCLE, FOLLOWED}
    assert promote.read("tastes", str(tmp_path))[0].labels == {"stable": 2}
    (cycle,) = record.cycles(record.folder("tastes", tmp_path))
    assert cycle.outcome == "served"
    changed = [each for each in visits.seen if each.phase != BEFORE]
    old, new = (
        measure.rate(each for each in changed if each.version == version) for version in (1, 2)
    )
    assert new.low > old.high, (str(old), str(new))
    up = (tmp_path / "online/tastes/up.log").read_text()
    for service in demo_online.SERVICES:
        assert up.count(f"{service} starts, process") == 2, service
