"""A stage that is struck at one moment, the same command given again, and what is left then."""

import contextlib
import dataclasses
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from types import MappingProxyType

from podway.framework import exit_codes
from tests import forked
from tests.launch import world
from tests.launch.loop import days
from tests.survival import faults, stages
from tests.survival.stages import STAGES, Stage

LIMIT = 900.0
"""Seconds after which a command hangs."""
_CLI = "podway.launch.cli"


@dataclasses.dataclass(frozen=True)
class Undisturbed:
    """What a stage takes and leads to when nothing happens.

    Attributes:
      seconds: it takes.
      grown: bytes of the workdir.
      outcome: see stages.outcome.
    """

    seconds: float
    grown: int
    outcome: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Result:
    """Of one moment.

    Attributes:
      at: seconds after the start.
      code: how the struck command ended.
      told: what the fault did.
      problem: what is not as promised; "" where all is.
    """

    at: float
    code: int
    told: str
    problem: str


class Home:
    """A folder with raw data, configs, and the workdir, which always lies at the same path."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.work = folder, folder / "home" / "work"
        self._known: dict[str, Undisturbed] = {}
        raw = folder / "raw"
        raw.mkdir(parents=True)
        world.write(raw)
        for day in (1, 2):
            days.write(raw, day)
        self._config, self._cycles = raw / "config.py", raw / "cycles.py"
        self._config.write_text(stages.CONFIG.format(folder=str(raw)))
        self._cycles.write_text(stages.CYCLES.format(folder=str(raw)))
        self.work.mkdir(parents=True)
        shutil.copytree(self.work, self._kept(""))
        forked.run([_CLI, "--version"])  # the libraries are imported before times are taken

    def strike(self, stage: Stage, fault: faults.Fault, draw: random.Random) -> Result:
        """Strikes a stage at a random moment."""
        known = self.undisturbed(stage)
        self._restore(stage.after)
        scene = faults.Scene(self.work, stage, draw, known.grown)
        at = draw.uniform(0.02, 1.0) * known.seconds
        try:
            environment = fault.begin(scene)
            process = self._start(stage, environment, scene.place, fault.wrapper)
            scene.process = process
            if fault.strikes:
                try:
                    said = process.communicate(timeout=at)[1]
                except subprocess.TimeoutExpired:
                    fault.strike(scene)
                    said = _wait(process)
            else:
                said = _wait(process)
            fault.look(scene)
            problem = self._judge(fault, process.returncode, said, known)
            fault.mend(scene)
            code, said = self._again(stage, environment if scene.place else {}, scene.place)
            fault.look(scene)
            if not problem and code:
                problem = f"given again, it ended with {code}: {_last(said)}"
            problem = problem or self._difference(known)
        finally:
            if scene.process:
                _end(scene.process)
            self._unmount()
            fault.leave()
        return Result(at, process.returncode, scene.told, problem)

    def _again(self, stage: Stage, environment: Mapping[str, str], place: str) -> tuple[int, str]:
        """Gives the command again, a few times where it says that another try may help."""
        for _ in range(3):
            process = self._start(stage, environment, place)
            said = _wait(process)
            if process.returncode != exit_codes.LOST:
                break
        return process.returncode, said

    def undisturbed(self, stage: Stage) -> Undisturbed:
        """What the stage leads to; also keeps it as the ground of others."""
        if stage.name not in self._known:
            if stage.after:
                self.undisturbed(STAGES[stage.after])
            self._restore(stage.after)
            before, start = faults.used(self.work), time.monotonic()
            process = self._start(stage)
            said = _wait(process)
            assert not process.returncode, f"{stage.name}, undisturbed: {said[-3000:]}"
            seconds = time.monotonic() - start
            assert not stages.corrupt(self.work)
            shutil.copytree(self.work, self._kept(stage.name))
            self._known[stage.name] = Undisturbed(
                seconds, faults.used(self.work) - before, stages.outcome(self.work)
            )
        return self._known[stage.name]

    def _judge(self, fault: faults.Fault, code: int, said: str, known: Undisturbed) -> str:
        """What is wrong with how the struck command ended."""
        if code not in (0, *fault.codes):
            return f"it ended with {code}: {_last(said)}"
        if code == exit_codes.REFUSED and "Traceback" in said:
            return f"a traceback: {_last(said)}"
        if code > 0 and fault.says not in said:
            return f"its words do not say what is wrong: {_last(said)}"
        if isinstance(fault, faults.Damaged):
            return ""  # what was there before is damaged, by us
        if wrong := stages.corrupt(self.work):
            return f"corrupt: {wrong[0]}"
        return self._difference(known) if code == 0 else ""

    def _difference(self, known: Undisturbed) -> str:
        if wrong := stages.corrupt(self.work):
            return f"corrupt: {wrong[0]}"
        found = stages.outcome(self.work)
        if found == known.outcome:
            return ""
        names = sorted({*found, *known.outcome})
        differ = [name for name in names if found.get(name) != known.outcome.get(name)]
        return f"other than undisturbed: {', '.join(differ)}"

    def _start(
        self,
        stage: Stage,
        environment: Mapping[str, str] = MappingProxyType({}),
        place: str = "",
        wrapper: tuple[str, ...] = (),
    ) -> subprocess.Popen:
        work = place or self.work
        lists = f"{work}/lists" if place else f"{work}/lists.parquet"  # no single file on gs://
        paths = {"config": self._config, "cycles": self._cycles, "work": work, "lists": lists}
        words = [each.format(**{k: str(v) for k, v in paths.items()}) for each in stage.words]
        options = {
            "cwd": stages.ROOT,
            "env": {**os.environ, "JAX_PLATFORMS": "cpu", **environment},
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.PIPE,
            "text": True,
            "start_new_session": True,
        }
        if environment or wrapper:
            return subprocess.Popen([*wrapper, sys.executable, "-m", _CLI, *words], **options)
        return forked.Popen([_CLI, *words], **options)

    def _kept(self, name: str) -> pathlib.Path:
        return self.folder / "grounds" / (name or "none")

    def _restore(self, name: str) -> None:
        self._unmount()
        shutil.rmtree(self.work.parent)
        shutil.copytree(self._kept(name), self.work)

    def _unmount(self) -> None:
        while os.path.ismount(self.work):
            subprocess.run(["umount", "-l", str(self.work)], check=True)


def _wait(process: subprocess.Popen) -> str:
    """The errors that it printed; who hangs is killed, which its exit code tells."""
    try:
        return process.communicate(timeout=LIMIT)[1]
    except subprocess.TimeoutExpired:
        for pid in (process.pid, *faults.descendants(process.pid)):
            os.kill(pid, 9)
        return f"it hung for {LIMIT:.0f} s; {process.communicate()[1]}"


def _end(process: subprocess.Popen) -> None:
    """Ends what a command that was killed has left running."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)


def _last(said: str) -> str:
    return said.strip()[-600:]
