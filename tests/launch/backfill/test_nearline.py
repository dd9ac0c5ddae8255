"""`podway nearline`: the command, from the queue to the store."""

import contextlib
import time

import pytest

from podway.framework.config import online as config
from podway.launch import cli
from podway.online.events.event import Event, encode
from podway.online.queue import open as queues
from podway.online.queue.queue import Message
from podway.online.store import history as histories
from podway.online.store.open import opened
from podway.online.store.store import HISTORY
from tests.online.store.conftest import content


def test_the_command(tmp_path, capsys):
    workdir = tmp_path / "w"
    (workdir / "online/movielens_sasrec").mkdir(parents=True)
    command = ["nearline", "movielens_sasrec", "--workdir", str(workdir), "--drain"]
    command += ["--page-port", "0"]
    online, folder = config.Online(), str(workdir / "online/movielens_sasrec")
    fields = {"rating": 4.0}
    events = [Event("rating", "u", f"i{at}", time.time(), fields=fields) for at in range(9)]
    with (
        contextlib.closing(queues.opened(online.queue, online.topics, folder)) as queue,
        contextlib.closing(queue.producer()) as producer,
    ):
        producer.publish("events", [Message("u", encode(event)) for event in events])
    cli.main(command)
    said = capsys.readouterr().out
    assert "nearline of movielens_sasrec: health and metrics on 127.0.0.1:" in said
    assert "nearline: ended; 9 events were new, 0 were there already" in said
    with opened(online.store, workdir, "movielens_sasrec") as store:
        found = histories.unpack(content(store, HISTORY, "u"))
        assert sorted(found.items) == sorted(event.item for event in events)
    cli.main([*command, "--replay", "again"])
    assert "0 events were new, 9 were there already" in capsys.readouterr().out
    cli.main([*command, "--replay", "later", "--since", "2100-01-01T00:00"])
    assert "0 events were new, 0 were there already" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main([*command, "--since", "yesterday"])
    assert "--since is 'yesterday'; give a time as 2026-11-30T10:00" in capsys.readouterr().err
