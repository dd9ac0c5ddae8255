import os
import pathlib
import signal
import sys
import threading
import time

import pytest

from launch import supervise
from launch.supervise import SupervisorError, Worker


def python(program: str, number: int = 0) -> Worker:
    return Worker(number, [sys.executable, "-S", "-c", program])


def run(workers, progress=lambda: 0, restarts=2):
    supervise.run(workers, progress=progress, restarts=restarts, pause=0.01)


def counting(path: pathlib.Path, program: str) -> str:
    """A program that counts its starts in a file, and knows the count as `n`."""
    return f"p={str(path)!r}; open(p,'a').write('x'); n=len(open(p).read())\n{program}"


def test_all_are_started_again_until_they_end_well(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    crash = "import os,signal; n < 3 and os.kill(os.getpid(), signal.SIGKILL)"
    wait = "import time; n < 3 and time.sleep(60)"
    run(lambda: [python(counting(first, crash), 0), python(counting(second, wait), 1)])
    assert len(first.read_text()) == len(second.read_text()) == 3


def test_it_gives_up_without_progress_and_says_the_last_error(tmp_path):
    path = tmp_path / "starts"
    program = counting(
        path, "raise SystemExit(__import__('sys').stderr.write('OSError: full') * 7)"
    )
    with pytest.raises(
        SupervisorError, match="after 2 restarts without progress beyond step 5"
    ) as e:
        run(lambda: [python(program, 3)], progress=lambda: 5)
    assert "process 3 ended with exit code 91: OSError: full" in str(e.value)
    assert len(path.read_text()) == 3


def test_progress_gives_new_restarts(tmp_path):
    path = tmp_path / "starts"
    program = counting(path, "raise SystemExit(9 if n < 6 else 0)")

    def progress() -> int:
        return len(path.read_text()) if path.exists() else 0

    run(lambda: [python(program)], progress=progress, restarts=1)
    assert len(path.read_text()) == 6


def test_what_the_user_must_mend_is_not_tried_again(tmp_path):
    path = tmp_path / "starts"
    said = "import sys; sys.stderr.write('podway: error: trainer.steps is 0\\n'); sys.exit(1)"
    with pytest.raises(SupervisorError, match=r"process 0 .*: trainer\.steps is 0"):
        run(lambda: [python(counting(path, said))])
    assert len(path.read_text()) == 1


def test_the_first_failure_is_named_not_the_one_that_it_caused():
    killed = python("import os,signal; os.kill(os.getpid(), signal.SIGKILL)", 1)
    lost = python("raise SystemExit(75)", 0)
    with pytest.raises(SupervisorError, match="process 1 ended with signal SIGKILL"):
        supervise.run(
            lambda: [python("import time; time.sleep(60)", 2), lost, killed],
            progress=lambda: 0,
            restarts=0,
            pause=0,
        )


def test_sigterm_goes_on_to_all_and_is_no_failure(tmp_path):
    program = (
        "import signal,sys,time,pathlib\n"
        "signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({0!r}).write_text('saved'),"
        " sys.exit(0)))\npathlib.Path({1!r}).write_text('')\ntime.sleep(60)"
    )
    ready = [tmp_path / f"ready {number}" for number in range(2)]
    saved = [tmp_path / f"saved {number}" for number in range(2)]

    def ask() -> None:
        while not all(path.exists() for path in ready):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask).start()
    run(
        lambda: [
            python(program.format(str(saved[number]), str(ready[number])), number)
            for number in range(2)
        ]
    )
    assert [path.read_text() for path in saved] == ["saved", "saved"]
