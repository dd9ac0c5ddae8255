"""What is forked is a process like any other: what it says, how it ends, how it is ended."""

import os
import signal
import subprocess
import sys

import pytest

from tests import forked

NOTHING = ("json",)
"""What the programs here need to find imported."""


@pytest.mark.parametrize(
    "command",
    [
        ("this",),  # says something
        ("json.tool", "no file"),  # ends with 1 and a sentence
        ("json.tool", "--wrong"),  # ends with 2
        ("timeit", "-n", "1", "-r", "1", "-s", "import os", "os._exit(7)"),
        ("timeit", "-n", "1", "-r", "1", "-s", "import os", "os.abort()"),
    ],
)
def test_a_program_says_and_ends_as_from_python(command, tmp_path):
    ours = forked.run(command, imports=NOTHING, cwd=tmp_path, timeout=60)
    theirs = subprocess.run(
        [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True
    )
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)
    assert ours.stderr == theirs.stderr


def test_an_error_that_nobody_expects_ends_it_with_1():
    failed = forked.run(("no.such.module",), imports=NOTHING)
    assert failed.returncode == 1
    assert "No module named 'no'" in failed.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it(number):
    code = "import os, time; print(os.getpid(), os.getcwd(), os.environ['MARK'], flush=True)"
    process = forked.Popen(
        ("timeit", "-n", "1", "-s", code, "time.sleep(60)"),
        NOTHING,
        cwd="/",
        env=os.environ | {"MARK": "seen"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline().split() == [str(process.pid), "/", "seen"]
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.1)
    process.send_signal(number)
    assert process.wait(30) == -number
    assert process.poll() == -number
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_what_would_be_read_too_late_is_refused():
    with pytest.raises(AssertionError, match="JAX_ENABLE_X64"):
        forked.run(("this",), imports=NOTHING, env=os.environ | {"JAX_ENABLE_X64": "1"})
