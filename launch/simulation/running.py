"""`podway up` beside a story, whose services can be killed."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence

from podway.framework.error import PodwayError


class Up:
    """`podway up`, for the time of a block.

    Attributes:
      home: folder of what the services keep.
    """

    def __init__(self, home: pathlib.Path, options: Sequence[str]):
        self.home, self._command = home, ("up", *options)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Up":
        print(f"\n$ podway {' '.join(self._command)} &", flush=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "podway.launch.cli", *self._command],
            stdout=(self.home / "up.log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(60)
        finally:
            self._process.kill()

    def until_ready(self, url: str, seconds: float = 180.0) -> None:
        """Waits until the page says that it is."""
        assert self._process is not None
        until = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
                return
            if self._process.poll() is not None or time.monotonic() > until:
                raise PodwayError(f"{url} does not answer; see {self.home / 'up.log'}")
            time.sleep(0.5)

    def kill(self, service: str) -> None:
        """SIGKILL to a service, which `podway up` starts again."""
        assert self._process is not None
        verb = {"model": "serve"}.get(service, service)
        for pid in _children(self._process.pid):
            arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if verb.encode() in arguments[:5]:
                print(f"$ kill -9 {pid}  # {service}", flush=True)
                os.kill(pid, signal.SIGKILL)
                return
        raise PodwayError(f"there is no service {service} to be killed")


def _children(parent: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True)
    return [int(each) for each in found.stdout.split()]
