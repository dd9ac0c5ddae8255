"""Recovery: faults are injected into a run of several processes under `--elastic`.

usage: python -m benchmarks.elastic [--faults 50] [--processes 3] [--kinds kill hang preempt lost]

Real processes train on CPU devices of this machine, one each. Faults come at random moments, to
random processes: killed; stopped, as a machine that hangs; asked to end, as by a scheduler; killed
and not to be started again, until the others have gone on and it is back at a save. Prints the
share of the faults after which training went on, and the time from the fault to the next step,
absolute and as a ratio to that of an undisturbed start; at last, whether each step was recorded
once. A step takes 0.05 s, so that what is measured is the restart.
"""

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).parent.parent
KINDS = ("kill", "hang", "preempt", "lost")
PATIENCE = 180.0
"""Seconds after which a fault counts as not recovered."""
RECENT = 5.0
"""Seconds since the last sign of life of a run that trains."""
PAUSE = 0.05
"""Seconds that each batch takes."""
EVERY = 10
"""Steps between two records."""
CONFIG = """
from podway.framework.config import Csv, Data, Experiment, Trainer
from podway.framework.models.sasrec import SasRec
from podway.framework.training.optimizer import AdamW


def experiment() -> Experiment:
    return Experiment(
        name="faults",
        data=Data(name="faults", path="{path}", min_user_events=1, min_item_events=1),
        model=SasRec(width=16, blocks=1, feed_forward=2, max_length=8),
        optimizer=AdamW(learning_rate=1e-3, warmup_steps=5),
        trainer=Trainer(
            steps={steps},
            batch_size=12,
            evaluate_every={steps},
            checkpoint_every=40,
            log_every={every},
        ),
    )
"""


@dataclasses.dataclass(frozen=True)
class Fault:
    """What was done to whom, and what came of it.

    Attributes:
      kind: one of KINDS.
      process: the victim.
      seconds: to the next step; None: there was none.
      cpu: seconds that a process had computed by then: how long it takes where nobody else does.
    """

    kind: str
    process: int
    seconds: float | None
    cpu: float


class Training:
    """A run under its supervisor, seen from outside.

    Args:
      folder: for everything.
      processes: that train.
      steps: after which it is complete.
    """

    def __init__(self, folder: pathlib.Path, processes: int, steps: int = 10**6):
        self.folder, self.processes = folder, processes
        rows = [f"u{u},i{(u * 7 + t) % 40},{t}" for u in range(100) for t in range(5 + u % 9)]
        (folder / "events.csv").write_text("\n".join(["user,item,time", *rows, ""]))
        text = CONFIG.format(path=folder / "events.csv", steps=steps, every=EVERY)
        (folder / "faults.py").write_text(text)
        self.said = (folder / "said.txt").open("a")
        self.supervisor = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.elastic", "--supervise", str(folder)),
                *("train", str(folder / "faults.py"), "--workdir", str(folder / "w")),
                *("--num-processes", str(processes), "--elastic", "--heartbeat", "8"),
            ],
            cwd=ROOT,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stdout=self.said,
            stderr=self.said,
        )

    def sessions(self) -> list[dict[str, float]]:
        """Those that have taken a step."""
        for path in (self.folder / "w").glob("runs/faults/*/goodput.json"):
            return json.loads(path.read_text())["history"]
        return []

    def steps(self) -> list[int]:
        """Those that are recorded."""
        (path,) = (self.folder / "w").glob("runs/faults/*/metrics.jsonl")
        records = [json.loads(line) for line in path.read_text().splitlines()]
        return [record["step"] for record in records if "loss" in record]

    def until(self, done: Callable[[], bool]) -> float | None:
        """Seconds until something is so; None: it never is, within PATIENCE."""
        began = time.monotonic()
        while not done():
            if time.monotonic() - began > PATIENCE or self.supervisor.poll() is not None:
                return None
            time.sleep(0.02)
        return time.monotonic() - began

    def worker(self, process: int) -> int | None:
        """The process id of one that trains."""
        text = f"/proc/{self.supervisor.pid}/task/{self.supervisor.pid}/children"
        for pid in pathlib.Path(text).read_text().split():
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            except OSError:  # it has just ended
                continue
            if str(self.broken(process)) in words:
                return int(pid)
        return None

    def steady(self) -> bool:
        """Whether all are there, have taken a step, and have just shown it."""
        pids = [self.worker(process) for process in range(self.processes)]
        try:
            started = [os.stat(f"/proc/{pid}").st_ctime for pid in pids]
        except OSError:  # one is not there
            return False
        alive = self.sessions()[-1]["alive"]
        return alive > max(started) and time.time() - alive < RECENT

    def cpu(self) -> float:
        """The most that one of them has computed since it was started, in seconds."""
        most = 0.0
        for process in range(self.processes):
            if pid := self.worker(process):
                times = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                most = max(most, (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK"))
        return most

    def broken(self, process: int) -> pathlib.Path:
        """While this file is there, the process cannot be started."""
        return self.folder / f"broken-{process}"

    def inject(self, kind: str, process: int) -> Fault:
        """One fault, from which the run then recovers, or does not."""
        whole = self.until(self.steady)
        seen, pid = len(self.sessions()), self.worker(process)
        if whole is None or pid is None:
            return Fault(kind, process, None, 0.0)
        if kind == "lost":
            self.broken(process).touch()
        signals = {"hang": signal.SIGSTOP, "preempt": signal.SIGTERM}
        os.kill(pid, signals.get(kind, signal.SIGKILL))
        seconds = self.until(lambda: len(self.sessions()) > seen)
        cpu = self.cpu()
        if kind == "lost" and seconds is not None:
            fewer = self.sessions()[-1]["processes"] < self.processes
            self.broken(process).unlink()
            whole = self.until(lambda: self.sessions()[-1]["processes"] == self.processes)
            seconds = seconds if fewer and whole is not None else None
        return Fault(kind, process, seconds, cpu)

    def end(self) -> int:
        """Its exit code, once it is complete or, unless it is, was asked to end."""
        self.supervisor.terminate()
        code = self.supervisor.wait(PATIENCE)
        self.said.close()
        return code


def inject(training: Training, kinds: Sequence[str], generator: random.Random) -> list[Fault]:
    """Faults of these kinds, one after the other, until the run dies of one, or Ctrl-C."""
    found = []
    with contextlib.suppress(KeyboardInterrupt):
        for kind in kinds:
            time.sleep(generator.uniform(0, 3))
            fault = training.inject(kind, generator.randrange(training.processes))
            found.append(fault)
            told = "not recovered" if fault.seconds is None else f"next step {fault.seconds:.1f} s"
            told += f", of which computing {fault.cpu:.1f} s"
            print(f"{len(found)}: {kind} process {fault.process}: {told}", flush=True)
            if training.supervisor.poll() is not None:
                break
    return found


def report(faults: Sequence[Fault], start: float) -> str:
    """The table."""
    names = ("injected", "recovered", "median s", "most s", "ratio", "CPU s")
    lines = [f"{'fault':10}" + "".join(f"{name:>10}" for name in names)]
    by_kind = collections.defaultdict(list)
    for fault in faults:
        by_kind[fault.kind].append(fault)
        by_kind["all"].append(fault)
    for kind, found in by_kind.items():
        good = [fault.seconds for fault in found if fault.seconds is not None]
        middle, most = (statistics.median(good), max(good)) if good else (float("nan"),) * 2
        computing = statistics.median(fault.cpu for fault in found)
        lines.append(
            f"{kind:10}{len(found):10}{len(good):10}{middle:10.1f}{most:10.1f}"
            f"{middle / start:10.2f}{computing:10.1f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Prints a line per fault, and the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", default="", help="empty, or not there yet")
    options = parser.parse_args()
    generator = random.Random(options.seed)
    kinds = [options.kinds[number % len(options.kinds)] for number in range(options.faults)]
    generator.shuffle(kinds)
    folder = pathlib.Path(options.folder or tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    training = Training(folder, options.processes)
    try:
        start = training.until(lambda: bool(training.sessions()))
        if start is None:
            raise SystemExit((folder / "said.txt").read_text()[-3000:])
        faults = inject(training, kinds, generator)
        code, steps = training.end(), training.steps()
    finally:
        training.supervisor.terminate()
    whole = steps == list(range(EVERY, steps[-1] + 1, EVERY))
    print(report(faults, start))
    print(
        f"undisturbed start, data and compilation included: {start:.1f} s; ended with {code};"
        f" steps recorded: {steps[-1]}, each once: {'yes' if whole else 'NO'}; load"
        f" {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores; what the processes said:"
        f" {folder / 'said.txt'}"
    )


def supervise(folder: str, arguments: Sequence[str]) -> None:
    """The command as the supervisor; its workers are `work` below."""
    from podway.launch import cli, supervise

    together = supervise.together

    def breakable(processes: Sequence[int]) -> list[supervise.Worker]:
        return [
            dataclasses.replace(
                worker,
                command=[
                    *(sys.executable, "-m", "benchmarks.elastic", "--work"),
                    *(f"{folder}/broken-{process}", *worker.command[3:]),
                ],
            )
            for process, worker in zip(processes, together(processes), strict=True)
        ]

    supervise.together = breakable
    sys.argv = ["podway", *arguments]
    cli.main()


def work(broken: str, arguments: Sequence[str]) -> None:
    """The command as a worker, whose steps take a moment; unless its machine is broken."""
    if os.path.exists(broken):
        raise SystemExit(255)  # as of ssh
    from podway.framework.input.batches import TrainBatches
    from podway.launch import cli

    read = TrainBatches.__getitem__

    def slowly(self: TrainBatches, index: int) -> Any:
        time.sleep(PAUSE)
        return read(self, index)

    TrainBatches.__getitem__ = slowly
    sys.argv = ["podway", *arguments]
    cli.main()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--supervise", where, *rest]:
            supervise(where, rest)
        case ["--work", where, *rest]:
            work(where, rest)
        case _:
            main()
