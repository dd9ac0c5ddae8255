import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from podway.framework import exit_codes
from podway.framework.progress import BARS
from podway.launch import stages, supervise
from podway.launch.supervise import SupervisorError, Worker
from tests import xla


def python(program: str, number: int = 0) -> Worker:
    return Worker(number, [sys.executable, "-S", "-c", program])


def run(workers, progress=lambda: 0, restarts=2):
    supervise.run(supervise.Crew(workers), progress=progress, restarts=restarts, pause=0.01)


def counting(path: pathlib.Path, program: str) -> str:
    """A program that counts its starts in a file, and knows the count as `n`."""
    return f"p={str(path)!r}; open(p,'a').write('x'); n=len(open(p).read())\n{program}"


def test_all_are_started_again_until_they_end_well(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    # The second has counted its start before the first ends it.
    crash = (
        f"import os,signal,time; q={str(second)!r}\n"
        "while not os.path.exists(q) or len(open(q).read()) < n: time.sleep(.005)\n"
        "n < 3 and os.kill(os.getpid(), signal.SIGKILL)"
    )
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


def test_who_hangs_when_all_are_asked_to_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(supervise, "FOLLOW", 0.5)
    program = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, {0})\npathlib.Path({1!r}).touch()\ntime.sleep(60)"
    )
    ready = [tmp_path / "ends", tmp_path / "hangs"]
    handlers = ["lambda *_: sys.exit(42)", "signal.SIG_IGN"]

    def ask() -> None:
        while not all(path.exists() for path in ready):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask).start()
    start = time.monotonic()
    with pytest.raises(stages.Stopped):
        run(
            lambda: [
                python(program.format(handler, str(path)), number)
                for number, (handler, path) in enumerate(zip(handlers, ready, strict=True))
            ]
        )
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_are_drawn_where_they_reach_a_terminal(terminal, monkeypatch, tmp_path):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.delenv(BARS, raising=False)
    program = f"import os; open({str(tmp_path / 'bars')!r}, 'w').write(str({BARS!r} in os.environ))"
    run(lambda: [python(program)])
    assert (tmp_path / "bars").read_text() == str(terminal)


def test_progress_gives_new_restarts(tmp_path):
    path = tmp_path / "starts"
    program = counting(path, "raise SystemExit(9 if n < 6 else 0)")

    def progress() -> int:
        return len(path.read_text()) if path.exists() else 0

    run(lambda: [python(program)], progress=progress, restarts=1)
    assert len(path.read_text()) == 6


@pytest.mark.parametrize("code", [1, 2, 130])
def test_what_the_user_must_mend_or_wants_is_not_tried_again(tmp_path, code):
    path = tmp_path / "starts"
    said = f"import sys; sys.stderr.write('podway: error: trainer.steps is 0\\n'); sys.exit({code})"
    with pytest.raises(SupervisorError, match=r"process 0 .*: trainer\.steps is 0") as error:
        run(lambda: [python(counting(path, said))])
    assert len(path.read_text()) == 1
    assert error.value.exit_code == code


KILLED = "import os; os.kill(os.getpid(), 9)"


@pytest.mark.parametrize(
    ("program", "code"), [("exit(75)", 75), ("exit(9)", 70), ("exit(70)", 70), (KILLED, 70)]
)
def test_the_supervisor_ends_as_the_first_failure_did(program, code):
    with pytest.raises(SupervisorError) as error:
        run(
            lambda: [python(f"import sys; sys.{program}" if "exit" in program else program)],
            restarts=0,
        )
    assert error.value.exit_code == code


def test_the_preempted_start_again_and_that_does_not_count(tmp_path):
    path = tmp_path / "starts"
    program = counting(path, "raise SystemExit(42 if n < 5 else 0)")
    run(lambda: [python(program)], restarts=1)
    assert len(path.read_text()) == 5
    with pytest.raises(stages.Stopped, match="saved at step 7"):
        run(lambda: [python("raise SystemExit(42)")], progress=lambda: 7, restarts=0)


def test_who_still_saves_when_another_has_ended_is_waited_for(tmp_path):
    saves = (
        f"import time; time.sleep(1); open({str(tmp_path / 'saved')!r}, 'w'); raise SystemExit(42)"
    )
    with pytest.raises(stages.Stopped, match="nothing to save yet"):
        run(lambda: [python("raise SystemExit(42)", 0), python(saves, 1)], restarts=0)
    assert (tmp_path / "saved").exists()


def test_who_does_not_follow_the_preempted_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(supervise, "FOLLOW", 0.2)
    path = tmp_path / "starts"
    stuck = counting(path, "import time; n < 2 and time.sleep(60)")
    preempted = counting(tmp_path / "other", "raise SystemExit(42 if n < 2 else 0)")
    start = time.monotonic()
    run(lambda: [python(preempted, 0), python(stuck, 1)], restarts=1)
    assert time.monotonic() - start < 30
    assert len(path.read_text()) == 2


def test_the_first_failure_is_named_not_the_one_that_it_caused():
    killed = python("import os,signal; os.kill(os.getpid(), signal.SIGKILL)", 1)
    lost = python("raise SystemExit(75)", 0)
    with pytest.raises(SupervisorError, match="process 1 ended with signal SIGKILL"):
        run(lambda: [python("import time; time.sleep(60)", 2), lost, killed], restarts=0)


def test_sigterm_goes_on_to_all_and_is_no_failure(tmp_path):
    program = (
        "import signal,sys,time,pathlib\n"
        "signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({0!r}).write_text('saved'),"
        " sys.exit(42)))\npathlib.Path({1!r}).write_text('')\ntime.sleep(60)"
    )
    ready = [tmp_path / f"ready {number}" for number in range(2)]
    saved = [tmp_path / f"saved {number}" for number in range(2)]

    def ask() -> None:
        while not all(path.exists() for path in ready):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask).start()
    with pytest.raises(stages.Stopped, match="saved at step 5; the same command resumes there"):
        run(
            lambda: [
                python(program.format(str(saved[number]), str(ready[number])), number)
                for number in range(2)
            ],
            progress=lambda: 5,
        )
    assert [path.read_text() for path in saved] == ["saved", "saved"]


SHOP = """
from podway.framework.config import Columns, Csv, Data, Evaluation, Experiment, Mesh, Trainer
from podway.framework.models.sasrec import SasRec
from podway.framework.training.optimizer import AdamW


def experiment() -> Experiment:
    return Experiment(
        name="shop",
        data=Data(name="shop", path="{path}", min_user_events=1, min_item_events=1),
        model=SasRec(width=16, blocks=1, feed_forward=2, max_length=8),
        optimizer=AdamW(learning_rate=1e-2, warmup_steps=5),
        trainer=Trainer(
            steps=120, batch_size=16, evaluate_every=60, checkpoint_every=20, log_every=5
        ),
        evaluation=Evaluation(cutoffs=(5, 10), batch_size=32, bootstrap=100),
        mesh=Mesh(fsdp=2),
    )
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> pathlib.Path:
    """A config of a small dataset."""
    folder = tmp_path_factory.mktemp("shop")
    rows = [
        f"u{user},i{(user * 7 + time) % 40},{time}"
        for user in range(100)
        for time in range(5 + user % 9)
    ]
    (folder / "events.csv").write_text("\n".join(["user,item,time", *rows, ""]))
    (folder / "shop.py").write_text(SHOP.format(path=folder / "events.csv"))
    return folder / "shop.py"


def podway(shop: pathlib.Path, workdir: pathlib.Path, *options: str) -> subprocess.Popen:
    environment = os.environ | {
        "XLA_FLAGS": xla.flags(devices=2),
        "JAX_PLATFORMS": "cpu",
    }
    command = [
        sys.executable,
        "-m",
        "podway.launch.cli",
        "train",
        str(shop),
        "--workdir",
        str(workdir),
    ]
    return subprocess.Popen(
        [*command, "--num-processes", "2", "--heartbeat", "8", *options],
        cwd=pathlib.Path(__file__).parent.parent.parent,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def records(workdir: pathlib.Path) -> list[dict]:
    found = list(workdir.glob("runs/shop/*/metrics.jsonl"))
    lines = found[0].read_text().split("\n")[:-1] if found else []
    return [json.loads(line) for line in lines]


def losses(workdir: pathlib.Path) -> list[tuple[int, float]]:
    return [(record["step"], record["loss"]) for record in records(workdir) if "loss" in record]


def wait_for_step(workdir: pathlib.Path, step: int, process: subprocess.Popen) -> None:
    while not any(record["step"] >= step for record in records(workdir)):
        assert process.poll() is None, process.communicate()[1][-3000:]
        time.sleep(0.02)


def children(process: subprocess.Popen) -> list[int]:
    path = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(text) for text in path.read_text().split()]


@pytest.fixture(scope="module")
def straight(shop, tmp_path_factory) -> list:
    """The losses of a run that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("straight")
    process = podway(shop, workdir)
    assert process.communicate()[1].count("starting again") == 0
    assert process.returncode == 0
    return losses(workdir)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_is_restarted_and_nothing_is_different(shop, straight, tmp_path, victim):
    process = podway(shop, tmp_path, "--restart-on-failure")
    wait_for_step(tmp_path, 45, process)
    os.kill(children(process)[victim], signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == 0, said[-3000:]
    assert f"process {victim} ended with signal SIGKILL" in said
    assert said.count("starting again") == 1
    assert losses(tmp_path) == straight
    (path,) = tmp_path.glob("runs/shop/*/goodput.json")
    record = json.loads(path.read_text())
    assert record["sessions"] == 2
    assert record["seconds"]["restart"] > 0
    assert "Goodput" in (path.parent / "report.html").read_text()


@pytest.mark.slow
def test_sigterm_to_the_supervisor_saves_and_the_same_command_goes_on(shop, tmp_path):
    process = podway(shop, tmp_path, "--restart-on-failure")
    wait_for_step(tmp_path, 30, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == exit_codes.PREEMPTED, said[-3000:]
    done = max(step for step, _ in losses(tmp_path))
    assert 30 <= done < 120
    (path,) = tmp_path.glob("runs/shop/*/checkpoints")
    saved = max(int(child.name) for child in path.iterdir() if child.name.isdigit())
    assert done <= saved < done + 10
    process = podway(shop, tmp_path, "--profile", "115:117")
    assert process.wait() == 0
    assert list(path.parent.glob("profile/plugins/profile/*/*.xplane.pb"))
