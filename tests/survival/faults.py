"""The faults: each strikes a command that runs, or the ground that it runs on."""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
import time
from typing import ClassVar

from podway.framework import exit_codes
from tests.survival import stages, storage

SIGNALLED = (-signal.SIGKILL, 128 + signal.SIGKILL)


@dataclasses.dataclass
class Scene:
    """A command that is to be struck.

    Attributes:
      work: the workdir.
      stage: which command.
      draw: decides what is left open.
      grown: bytes that the undisturbed command adds to the workdir.
      process: of the command, once it runs.
      told: what was done, for the report.
      place: the workdir as the command is given it; "": `work`.
    """

    work: pathlib.Path
    stage: stages.Stage
    draw: random.Random
    grown: int
    process: subprocess.Popen | None = None
    told: str = ""
    place: str = ""

    @property
    def pid(self) -> int:
        """Of the command."""
        assert self.process is not None
        return self.process.pid


class Fault:
    """Nothing happens: the base of all.

    Attributes:
      words: what it is, for the table.
      codes: how the command may end, besides with 0.
      strikes: whether something is done while the command runs.
      says: a text that the command's last words must have where it fails; "": any.
      wrapper: words before the command.
    """

    words: ClassVar[str] = "undisturbed"
    codes: tuple[int, ...] = ()
    strikes: ClassVar[bool] = False
    says: ClassVar[str] = ""
    wrapper: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        if reason := self.missing():
            raise LookupError(reason)

    @staticmethod
    def missing() -> str:
        """What this machine lacks for it; "" where it can be done."""
        return ""

    def begin(self, scene: Scene) -> dict[str, str]:
        """Before the command starts; more of its environment."""
        return {}

    def strike(self, scene: Scene) -> None:
        """At the moment."""

    def mend(self, scene: Scene) -> None:
        """When the command has ended, before it is given again."""

    def look(self, scene: Scene) -> None:
        """Brings what there is to where it is judged."""

    def leave(self) -> None:
        """When all is over."""


class Killed(Fault):
    words = "SIGKILL"
    codes = SIGNALLED
    strikes = True

    def strike(self, scene: Scene) -> None:
        """Of several processes one, which the others or a supervisor have to notice."""
        victims = [scene.pid, *descendants(scene.pid)] if scene.stage.processes else [scene.pid]
        victim = scene.draw.choice(victims)
        scene.told = "the command"
        if victim != scene.pid:
            scene.told = "one of its processes"
            self.codes = (exit_codes.CRASHED, exit_codes.LOST)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


class Terminated(Fault):
    words = "SIGTERM"
    codes = (exit_codes.PREEMPTED, -signal.SIGTERM)
    strikes = True

    def strike(self, scene: Scene) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(scene.pid, signal.SIGTERM)


class Stopped(Fault):
    words = "SIGSTOP for a while"
    strikes = True
    seconds: ClassVar[float] = 60.0

    def strike(self, scene: Scene) -> None:
        found = self.victims(scene)
        for number, then in ((signal.SIGSTOP, self.seconds), (signal.SIGCONT, 0.0)):
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            time.sleep(then)

    def victims(self, scene: Scene) -> list[int]:
        return [scene.pid, *descendants(scene.pid)]


class Partitioned(Stopped):
    words = "one of several not heard of for a while"
    codes = (exit_codes.CRASHED, exit_codes.LOST)

    def begin(self, scene: Scene) -> dict[str, str]:
        if not scene.stage.processes:
            raise LookupError("several processes")
        return {}

    def victims(self, scene: Scene) -> list[int]:
        below = descendants(scene.pid)
        return [scene.draw.choice(below)] if below else []


class DiskFull(Fault):
    """The workdir lies on a file system of its own, which has less room than is needed."""

    words = "disk full"
    codes = (exit_codes.REFUSED,)
    says = "o space left"

    @staticmethod
    def missing() -> str:
        return "" if os.geteuid() == 0 and shutil.which("mount") else "the right to mount"

    def begin(self, scene: Scene) -> dict[str, str]:
        room = used(scene.work) + int(scene.grown * scene.draw.uniform(0.0, 0.9))
        kept = scene.work.with_name("kept")
        scene.work.rename(kept)
        scene.work.mkdir()
        scene.told = f"{room / 1e6:.2f} MB"
        _do("mount", "-t", "tmpfs", "-o", f"size={max(room, 1 << 16)}", "tmpfs", scene.work)
        shutil.copytree(kept, scene.work, dirs_exist_ok=True)
        shutil.rmtree(kept)
        return {}

    def mend(self, scene: Scene) -> None:
        _do("mount", "-o", "remount,size=1g", scene.work)


class Damaged(Fault):
    """A file of the newest artefact that the command reads is cut off, or a bit of it is other."""

    codes = (exit_codes.REFUSED, exit_codes.CRASHED)

    def begin(self, scene: Scene) -> dict[str, str]:
        there = [
            folder
            for folder, manifest in stages.published(scene.work)
            if json.loads((folder / manifest).read_text())["kind"] == scene.stage.reads
        ]
        if not there:
            raise LookupError("an artefact that the stage reads")
        files = [each for each in there[-1].rglob("*") if each.is_file() and each.stat().st_size]
        path = scene.draw.choice(sorted(files))
        self._path, self._content = path, path.read_bytes()
        scene.told = str(path.relative_to(scene.work))
        path.write_bytes(self.damage(self._content, scene.draw))
        return {}

    def damage(self, content: bytes, draw: random.Random) -> bytes:
        raise NotImplementedError

    def mend(self, scene: Scene) -> None:
        if self._path.parent.exists():
            self._path.write_bytes(self._content)


class Cut(Damaged):
    words = "newest artefact cut off"

    def damage(self, content: bytes, draw: random.Random) -> bytes:
        return content[: draw.randrange(len(content))]


class Flipped(Damaged):
    words = "a bit of the newest artefact flipped"

    def damage(self, content: bytes, draw: random.Random) -> bytes:
        at = draw.randrange(len(content))
        return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]


class ClockBack(Fault):
    words = "clock set back by a day"
    strikes = True

    @staticmethod
    def missing() -> str:
        return "" if shutil.which("gcc") else "gcc"

    def begin(self, scene: Scene) -> dict[str, str]:
        self._file = scene.work.with_name("clock")
        return clock_of(self._file)

    def strike(self, scene: Scene) -> None:
        set_back(self._file)


class Denied(Fault):
    """Nothing in the workdir can be written any more; the command has no right to do so all the
    same, as root has."""

    words = "permissions lost"
    codes = (exit_codes.REFUSED,)
    strikes = True
    says = "ermission denied"
    wrapper = (
        ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    )

    @staticmethod
    def missing() -> str:
        return "" if os.geteuid() or shutil.which("setpriv") else "setpriv"

    def strike(self, scene: Scene) -> None:
        for path in (scene.work, *_folders(scene.work)):
            with contextlib.suppress(FileNotFoundError):
                path.chmod(0o555)

    def mend(self, scene: Scene) -> None:
        for path in (scene.work, *_folders(scene.work)):
            path.chmod(0o755)


class StoreGone(Fault):
    """The workdir is in a bucket, whose store answers 503 for a while."""

    words = "store answers 503 for a while"
    codes = (exit_codes.REFUSED, exit_codes.CRASHED, exit_codes.LOST)
    strikes = True
    seconds: ClassVar[float] = 60.0

    def __init__(self) -> None:
        super().__init__()
        self._stack = contextlib.ExitStack()

    def begin(self, scene: Scene) -> dict[str, str]:
        if scene.stage.graph:
            raise LookupError("a store that TensorFlow finds, and it finds no emulator")
        self.door = self._stack.enter_context(storage.door())
        scene.place = f"{self.door.store.bucket()}/work"
        storage.upload(self.door.store, scene.work, scene.place)
        return self.door.store.environment()

    def strike(self, scene: Scene) -> None:
        self.door.shut = True
        threading.Timer(self.seconds, self.mend, (scene,)).start()

    def mend(self, scene: Scene) -> None:
        self.door.shut = False

    def look(self, scene: Scene) -> None:
        shutil.rmtree(scene.work)
        scene.work.mkdir()
        storage.download(self.door.store, scene.place, scene.work)

    def leave(self) -> None:
        self._stack.close()


class StoreSlow(StoreGone):
    words = "store answers slowly"
    codes = ()
    strikes = False
    delay: ClassVar[float] = 0.2

    def begin(self, scene: Scene) -> dict[str, str]:
        environment = super().begin(scene)
        self.door.delay = self.delay
        return environment

    def mend(self, scene: Scene) -> None:
        self.door.delay = 0.0


FAULTS: dict[str, type[Fault]] = {
    "kill": Killed,
    "term": Terminated,
    "stop": Stopped,
    "partition": Partitioned,
    "disk": DiskFull,
    "cut": Cut,
    "flip": Flipped,
    "clock": ClockBack,
    "denied": Denied,
    "store": StoreGone,
    "slow": StoreSlow,
}


def descendants(pid: int) -> list[int]:
    """The processes below one."""
    found, left = [], [pid]
    while left:
        one = left.pop()
        for path in pathlib.Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                below = [int(each) for each in path.read_text().split()]
                found += below
                left += below
    return found


def used(folder: pathlib.Path) -> int:
    """Bytes that a folder takes on a file system in memory, of 4 KiB pages."""
    files = (each for each in folder.rglob("*") if each.is_file())
    return sum(-(-each.stat().st_size // 4096) * 4096 for each in files)


def _folders(work: pathlib.Path) -> list[pathlib.Path]:
    return [each for each in work.rglob("*") if each.is_dir()]


def clock_of(file: pathlib.Path) -> dict[str, str]:
    """The environment of a process whose clock a file sets back."""
    file.write_bytes(struct.pack("q", 0))
    return {"LD_PRELOAD": str(_clock()), "CLOCK_BACK": str(file)}


def set_back(file: pathlib.Path, seconds: int = 86_400) -> None:
    with file.open("r+b") as opened:
        opened.write(struct.pack("q", seconds))


@functools.cache
def _clock() -> pathlib.Path:
    """The library that sets a process's clock back."""
    made = pathlib.Path(tempfile.mkdtemp(prefix="survival-")) / "clock.so"
    _do("gcc", "-O2", "-shared", "-fPIC", "-o", made, pathlib.Path(__file__).with_name("clock.c"))
    return made


def _do(*command: object) -> None:
    subprocess.run([str(each) for each in command], check=True, capture_output=True)
