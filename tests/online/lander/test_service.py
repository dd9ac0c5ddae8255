"""`podway lander` as a process: its page, its end, and what it refuses."""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from podway.framework.config import online
from podway.framework.error import ConfigError
from podway.online.error import OnlineError
from podway.online.lander import service
from tests.online.lander.conftest import Place, event, landed, message, until


def ready(page: str) -> bool:
    try:
        with urllib.request.urlopen(f"{page}/readyz") as answer:
            return answer.status == 200
    except urllib.error.HTTPError:  # 503: not yet
        return False


def test_the_verb_lands_tells_and_ends_in_good_order(place: Place, tmp_path):
    place.publish([message(event(at, time.time())) for at in range(20)])
    command = [sys.executable, "-m", "podway.launch.cli", "lander", "movielens_sasrec"]
    options = ["--online.queue.path", place.config.path, "--online.lander.path", str(place.root)]
    lander = subprocess.Popen(
        [*command, *options, "--page-port", "0", "--workdir", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert lander.stdout is not None
        said = lander.stdout.readline()
        assert said.startswith(f"lander of movielens_sasrec: events → {place.root}, health"), said
        page = f"http://{said.strip().rpartition(' ')[2]}"
        until(lambda: ready(page))
        numbers = urllib.request.urlopen(f"{page}/metrics").read().decode()
        assert "podway_lander_age_seconds" in numbers
        lander.send_signal(signal.SIGTERM)
        assert lander.stdout.read() == "lander: ended; 20 landed\n"
        assert lander.wait(30) == 0
    finally:
        lander.kill()
        lander.wait()
    assert len(landed(place.root)) == 20


def test_what_cannot_be_is_said_with_the_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    config = online.Online(
        queue=online.SqliteQueue(path=str(tmp_path / "q")),
        lander=online.Lander(path=str(tmp_path / "file" / "landed")),
    )
    with pytest.raises(OnlineError, match=r"cannot be made .*give online\.lander\.path a folder"):
        service.run(config, str(tmp_path), "127.0.0.1", 0, threading.Event())
    with pytest.raises(ConfigError, match=r"lander\.rows is 0; give more than 0"):
        online.Lander(rows=0)
    with pytest.raises(ConfigError, match=r"lander\.path is 's3://b'; give a local folder or one"):
        online.Lander(path="s3://b")
    with pytest.raises(ConfigError, match=r"lander\.late_seconds is 90000"):
        online.Lander(late_seconds=90_000, oldest_days=1)
    with pytest.raises(ConfigError, match=r"lander\.seconds is nan"):
        online.Lander(seconds=float("nan"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_is_refused(tmp_path):
    (tmp_path / "landed").mkdir(mode=0o555)
    config = online.Online(queue=online.SqliteQueue(path=str(tmp_path / "q")))
    with pytest.raises(OnlineError, match="cannot be written"):
        service.run(config, str(tmp_path), "127.0.0.1", 0, threading.Event())
