"""The dead are shown, and go back to where they belong."""

import contextlib
import io

import pytest

from podway.framework.config import online
from podway.launch import cli
from podway.online.queue import open as queues
from podway.online.queue import revival
from podway.online.queue.queue import Message
from tests.online.queue.test_contract import drain

TOPICS = online.Topics()
NAME = "movielens_sasrec"


def podway(*arguments: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        cli.main(["queue", NAME, *arguments])
    return out.getvalue()


def test_the_dead_are_shown_revived_and_read_again(tmp_path):
    work = ["--workdir", str(tmp_path)]
    assert "events" in podway(*work)
    (place,) = (tmp_path / "online").iterdir()
    with contextlib.closing(queues.opened(online.SqliteQueue(), TOPICS, str(place))) as queue:
        queue.producer().publish(
            TOPICS.events, [Message("u", f"m{i}".encode(), {"trace": "t"}) for i in range(5)]
        )
        consumer = queue.consumer("lander", TOPICS.events)
        for message in drain(consumer, 5, commit=False)[1:3]:
            consumer.dead(message, "no JSON; give one object")
        consumer.close()
        assert "lander" in podway(*work)
        told = podway(*work, "--dead", "10")
        assert told.count("no JSON; give one object") == 2
        assert "b'm1'" in told
        assert len(revival.shown(queue, TOPICS.dead, 1)) == 1
        assert len(revival.shown(queue, TOPICS.dead, 9)) == 2, "they stay where they are"
        assert "2 published to events again" in podway(*work, "--revive")
        assert revival.revive(queue, TOPICS.dead).topics == {}
        again = queue.consumer("lander", TOPICS.events)
        found = drain(again, 5)
        assert [m.value for m in found] == [b"m0", b"m3", b"m4", b"m1", b"m2"]
        assert found[-1].headers == {"trace": "t"}
        again.close()
        assert "begins again" in podway(*work, "--rewind", "lander")
        assert queue.lags(TOPICS.events) == {"lander": 7}
        told = podway(*work, "--rewind", "lander", "--offsets", f"{found[0].partition}:5")
        assert "begins again" in told
        assert queue.lags(TOPICS.events) == {"lander": 2}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--dead", "-1"],
        ["--since", "5"],
        ["--offsets", "0:1"],
        ["--rewind", "g", "--offsets", "0-1"],
    ],
)
def test_what_cannot_be_is_refused(tmp_path, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["queue", NAME, "--workdir", str(tmp_path), *arguments])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert any(words in said for words in ("give", "name the group", "goes with --rewind"))
