"""Real processes that get a SIGTERM: in Python, in native code, and as process 1."""

import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from podway.framework import exit_codes

HEAD = """
import os, signal, sys, time
from podway.framework import termination
def ready():
    print('ready', flush=True)
"""
WAITS = "time.sleep(60)"
COMPUTES = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
"""A minute and more in native code, which no signal interrupts."""
CLEANS_UP = """
    try:
        time.sleep(60)
    finally:
        print('cleaned', flush=True)
        time.sleep({seconds})
        print('late', flush=True)
"""


def start(body: str, *before: str, grace: float = 30.0) -> subprocess.Popen:
    """A program that does `body`, and is asked to end once it has begun."""
    text = (
        f"{HEAD}\ntry:\n  with termination.ending({grace}):\n    ready()\n    {body}\n"
        "except termination.Terminated as stop:\n  sys.exit(stop.exit_code)\n"
    )
    process = subprocess.Popen(
        [*before, sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def asked(process: subprocess.Popen, pid: int | None = None) -> tuple[int, str, str, float]:
    """Exit code, stdout and stderr after a SIGTERM, and the seconds that it took."""
    time.sleep(0.2)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM) if pid is None else subprocess.run(
        ["kill", "-TERM", str(pid)], check=True
    )
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err, time.monotonic() - began


def test_what_waits_ends_at_once():
    code, _, err, seconds = asked(start(WAITS))
    assert (code, err) == (exit_codes.PREEMPTED, "")
    assert seconds < 10


def test_native_code_is_ended_after_the_grace():
    code, _, err, seconds = asked(start(COMPUTES, grace=0.5))
    assert code == exit_codes.PREEMPTED
    assert "ended at SIGTERM, in the middle of its work" in err
    assert seconds < 10


def test_last_words_are_said_before_that():
    words = f"with termination.last_words(lambda: print('farewell', flush=True)): {COMPUTES[16:]}"
    code, out, _, _ = asked(start(f"import hashlib; \n    {words}", grace=0.5))
    assert code == exit_codes.PREEMPTED
    assert out == "farewell\n"


def test_what_a_callback_swallows_comes_again():
    """The garbage collector calls functions of libraries, JAX's too, whose errors go nowhere."""
    body = (
        "import gc; gc.callbacks.append(lambda *_: time.sleep(1))\n"
        "    gc.collect(); print('collected', flush=True); time.sleep(60)"
    )
    code, out, err, seconds = asked(start(body))
    assert (code, err) == (exit_codes.PREEMPTED, "")
    assert out in ("", "collected\n")
    assert seconds < 20


@pytest.mark.parametrize(("seconds", "said"), [(0, "cleaned\nlate\n"), (30, "cleaned\n")])
def test_it_may_clean_up_within_the_grace(seconds, said):
    body = CLEANS_UP.format(seconds=seconds).strip()
    code, out, _, took = asked(start(body, grace=1.0 if seconds else 30.0))
    assert (code, out) == (exit_codes.PREEMPTED, said)
    assert took < 10


def test_who_handles_the_signal_itself_ends_when_it_likes():
    own = (
        "came = []; before = signal.signal(signal.SIGTERM, lambda *_: came.append(1))\n"
        "    while not came: time.sleep(.01)\n"
        "    signal.signal(signal.SIGTERM, before); time.sleep(1); print('saved', flush=True)"
    )
    code, out, _, _ = asked(start(own, grace=0.1))
    assert (code, out) == (0, "saved\n")


def test_process_1_of_a_container_ends_too():
    """The kernel does not deliver a signal without a handler to it."""
    space = ["unshare", "--pid", "--fork", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*space, "true"], check=False).returncode:
        pytest.skip("this machine gives no space of process ids")
    process = start(WAITS, *space)
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    code, _, _, seconds = asked(process, int(children))
    assert code == exit_codes.PREEMPTED
    assert seconds < 10
