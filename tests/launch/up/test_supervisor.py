"""Services as small programs: started in order, started again, ended in good order."""

import io
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from podway.framework.error import ConfigError
from podway.launch.up import service
from podway.launch.up.child import Lines
from podway.launch.up.service import Service
from podway.launch.up.supervisor import Patience, Supervisor, UpError
from tests.export.server.conftest import free_port

PROGRAM = """
import http.server, pathlib, signal, sys, time
name, port, folder, slow, drain = sys.argv[1], int(sys.argv[2]), *sys.argv[3:6]
def note(text):
    with open(f"{folder}/notes", "a") as file:
        file.write(f"{name} {text}\\n")
def end(*_):
    time.sleep(float(drain))
    note("ended")
    raise SystemExit
signal.signal(signal.SIGTERM, end)
note("begins")
print(f"this is {name}", flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_):
        pass
time.sleep(float(slow))
note("listens")
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
QUICK = Patience(ready=30, drain=20, first=0.2, most=1)


def made(folder: pathlib.Path, name: str, slow: float = 0, drain: float = 0) -> Service:
    port = free_port()
    command = (sys.executable, "-c", PROGRAM, name, str(port), str(folder), str(slow), str(drain))
    url = f"http://127.0.0.1:{port}/readyz"
    return Service(name, "nothing", command, url, (port,), {"page": url})


def notes(folder: pathlib.Path) -> list[str]:
    path = folder / "notes"
    return path.read_text().splitlines() if path.exists() else []


def wait(condition, seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


class Runs:
    """A supervisor in a thread; PR_SET_PDEATHSIG goes by threads, so this one stays until the
    end."""

    def __init__(self, services, folder, patience=QUICK):
        self.output, self.asked, self.up = io.StringIO(), threading.Event(), threading.Event()
        self.error: Exception | None = None
        lines = Lines(["up", *(each.name for each in services)], self.output)
        crew = Supervisor(services, folder / "logs", patience, lines)

        def work() -> None:
            try:
                crew.run(self.asked, self.up.set)
            except Exception as error:
                self.error = error

        self.thread = threading.Thread(target=work)
        self.thread.start()

    def __enter__(self) -> "Runs":
        return self

    def __exit__(self, *_) -> None:
        self.asked.set()
        self.thread.join(60)
        assert not self.thread.is_alive()

    def pid(self, name: str) -> int:
        said = [x for x in self.output.getvalue().splitlines() if f"{name} starts, process" in x]
        return int(said[-1].rpartition(" ")[2])


def test_each_waits_for_the_one_before_and_they_end_the_other_way_round(tmp_path):
    services = [made(tmp_path, "first", slow=0.5), made(tmp_path, "second", drain=0.5)]
    with Runs(services, tmp_path) as runs:
        assert runs.up.wait(40), runs.output.getvalue()
        started = ["first begins", "first listens", "second begins", "second listens"]
        assert notes(tmp_path) == started
    assert notes(tmp_path)[4:] == ["second ended", "first ended"]
    said = runs.output.getvalue().splitlines()
    assert "second | this is second" in said
    assert "up     | first is ready" in said
    assert (tmp_path / "logs" / "first.log").read_text() == "this is first\n"
    assert runs.error is None


def test_who_is_killed_is_started_again_after_a_pause_that_grows(tmp_path):
    services = [made(tmp_path, "one"), made(tmp_path, "other")]
    with Runs(services, tmp_path) as runs:
        assert runs.up.wait(40)
        for pause in ("0.2", "0.4", "0.8"):
            before = notes(tmp_path).count("one listens")
            os.kill(runs.pid("one"), signal.SIGKILL)
            wait(lambda before=before: notes(tmp_path).count("one listens") > before)
            text = f"one ended, signal SIGKILL: this is one; again in {pause} s"
            assert text in runs.output.getvalue()
        assert notes(tmp_path).count("other begins") == 1
    assert notes(tmp_path)[-2:] == ["other ended", "one ended"]


def test_who_was_calm_begins_with_a_short_pause_again(tmp_path):
    services = [made(tmp_path, "one")]
    patience = Patience(ready=30, drain=20, first=0.2, most=1, calm=0.0)
    with Runs(services, tmp_path, patience) as runs:
        assert runs.up.wait(40)
        for count in (1, 2):
            before = notes(tmp_path).count("one listens")
            wait(services[0].is_ready)
            time.sleep(0.6)  # until it was seen that it is ready
            os.kill(runs.pid("one"), signal.SIGKILL)
            wait(lambda before=before: notes(tmp_path).count("one listens") > before)
            assert runs.output.getvalue().count("again in 0.2 s") == count


def test_who_refuses_to_start_ends_all_with_what_it_said(tmp_path):
    text = "import sys; print('podway: error: no model is published'); sys.exit(1)"
    refuses = Service(
        "bad", "", (sys.executable, "-c", text), "http://127.0.0.1:1/", (), {"page": ""}
    )
    with Runs([made(tmp_path, "one"), refuses], tmp_path) as runs:
        runs.thread.join(40)
        assert isinstance(runs.error, UpError)
        assert str(runs.error) == (
            "bad does not start: exit code 1: podway: error: no model is published"
        )
    assert notes(tmp_path)[-1] == "one ended"


def test_who_is_never_ready_is_named(tmp_path):
    late = made(tmp_path, "late", slow=60)
    with Runs([late], tmp_path, Patience(ready=0.5, drain=20)) as runs:
        runs.thread.join(40)
        assert isinstance(runs.error, UpError)
        assert f"late is not ready after 0.5 s (no answer at {late.ready})" in str(runs.error)


def test_who_does_not_end_is_killed(tmp_path):
    with Runs([made(tmp_path, "deaf", drain=60)], tmp_path, Patience(30, 0.3)) as runs:
        assert runs.up.wait(40)
        pid = runs.pid("deaf")
    assert "deaf did not end in 0.3 s: killed" in runs.output.getvalue()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


SUPERVISES = """
import pathlib, sys, threading
from podway.launch.up import supervisor
from podway.launch.up.service import Service
program, port, folder = sys.argv[1:]
url = f"http://127.0.0.1:{port}/"
command = (sys.executable, "-c", program, "child", port, folder, "0", "0")
one = Service("child", "", command, url, (), {"page": url})
supervisor.Supervisor([one], pathlib.Path(folder) / "logs").run(threading.Event(), lambda: None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_nobody_is_left_when_the_supervisor_is_killed(tmp_path):
    command = [sys.executable, "-c", SUPERVISES, PROGRAM, str(free_port()), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait(lambda: "child listens" in notes(tmp_path))
    finally:
        process.kill()
        process.wait()
    wait(lambda: "child ended" in notes(tmp_path))


def test_a_port_that_is_taken_is_named(tmp_path):
    one, other = made(tmp_path, "one"), made(tmp_path, "other")
    same = Service("other", "", (), "", one.ports, {})
    with pytest.raises(ConfigError, match=f"other and one both want port {one.ports[0]}"):
        service.check_ports([one, same], "127.0.0.1")
    taken = f"other wants port {other.ports[0]} of 127.0.0.1"
    listener = socket.create_server(("127.0.0.1", other.ports[0]))
    with listener, pytest.raises(ConfigError, match=taken):
        service.check_ports([one, other], "127.0.0.1")
