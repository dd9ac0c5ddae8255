"""Runs the stages of one process of a launch, on its machine, and records how each one ends.

It is started by the agent, in a session of its own, and goes on when nobody follows. SIGTERM goes
on to the stage that runs, which saves; the codes are those of framework/exit_codes.py.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from etils import epath

from podway.framework import exit_codes

INTERVAL = 2.0
"""Seconds between looks for the dataset."""
ENDED = (exit_codes.PREEMPTED, exit_codes.LOST, -signal.SIGTERM, 128 + signal.SIGTERM)
"""How a stage ends that was asked to."""
_TAIL = 8192


class Runner:
    """One process of a launch.

    Args:
      folder: of its state (launch/targets/machines/agent.py).
    """

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._spec = json.loads((folder / "spec.json").read_text())
        self._child: subprocess.Popen[bytes] | None = None
        self._asked = threading.Event()
        self._state: dict[str, Any] = {
            **self._spec["launch"],
            "state": "running",
            "stage": "",
            "pid": os.getpid(),
            "codes": {},
            "said": "",
        }
        signal.signal(signal.SIGTERM, self._ask)
        if (folder / "stop").exists():  # it was asked before it could hear
            self._asked.set()

    def run(self) -> int:
        """Runs the stages to the end. Returns the code of the last one."""
        for stage in self._spec["stages"]:
            name = stage["name"]
            self._tell(stage=name)
            code = self._wait() if name == "wait" else self._stage(stage)
            self._state["codes"][name] = code
            if name == "data":
                self._publish(code)
            if code or self._asked.is_set():
                return self._ended(code, last=stage is self._spec["stages"][-1])
        self._tell(state="complete")
        return exit_codes.COMPLETE

    def _ask(self, *_: object) -> None:
        self._asked.set()
        if self._child is not None:
            self._child.terminate()

    def _stage(self, stage: dict[str, Any]) -> int:
        if self._asked.is_set():
            return exit_codes.PREEMPTED
        command = [sys.executable, "-m", "podway.launch.cli", *stage["arguments"]]
        print(f"podway: {stage['name']} begins", flush=True)
        self._child = subprocess.Popen(
            command,
            cwd=self._folder,
            env={**os.environ, **stage["environment"]},
            pass_fds=[int(os.environ["PODWAY_LOCK"])] if "PODWAY_LOCK" in os.environ else [],
        )
        if self._asked.is_set():  # while it started
            self._child.terminate()
        return self._child.wait()

    def _wait(self) -> int:
        """Until process 0 has built the dataset; its code."""
        path = self._marker()
        while not self._asked.wait(INTERVAL):
            try:
                code = json.loads(path.read_text())["data"]
            except (OSError, ValueError):  # not there, or just being written
                continue
            if code:
                print("podway: error: the dataset was not built on the first host", flush=True)
            return exit_codes.LOST if code else exit_codes.COMPLETE
        return exit_codes.PREEMPTED

    def _publish(self, code: int) -> None:
        path = self._marker()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"data": code}))

    def _marker(self) -> epath.Path:
        launch = self._spec["launch"]
        home = epath.Path(self._spec["workdir"]) / "launches" / launch["name"]
        return home / f"{launch['attempt']}.json"

    def _ended(self, code: int, *, last: bool) -> int:
        """Records an end before the last stage's, or a failure."""
        asked = self._asked.is_set() or code == exit_codes.PREEMPTED
        if asked and code == 0 and last:
            self._tell(state="complete")
        elif asked and code in (0, *ENDED):
            for_good = (self._folder / "stop").exists()
            self._tell(state="stopped" if for_good else "preempted", code=exit_codes.PREEMPTED)
            return exit_codes.PREEMPTED
        else:
            self._tell(state="failed", code=code, said=said(self._folder / "output.log"))
        return code

    def _tell(self, **changes: Any) -> None:
        self._state |= changes | {"time": time.time()}
        path = self._folder / "state.json"
        new = path.with_name("state.json.new")
        new.write_text(json.dumps(self._state, indent=1))
        new.replace(path)


def said(log: pathlib.Path) -> str:
    """Our own error in what was written last; otherwise the last line."""
    with log.open("rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, 0))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    ours = [line for line in lines if line.startswith("podway: error: ")]
    if ours:
        return ours[-1].removeprefix("podway: error: ")
    return next((line for line in reversed(lines) if line), "")


def main() -> None:
    """Runs the stages of the process whose folder is given."""
    code = Runner(pathlib.Path(sys.argv[1])).run()
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
