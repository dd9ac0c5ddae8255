"""The peers: what each needs, how it is started, and that it answers as ours does."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np

from benchmarks.serving_peers import processes

PROGRAMS = pathlib.Path(__file__).parent / "programs"
CACHE = pathlib.Path.home() / ".cache" / "podway" / "peers"
_START_SECONDS = 240.0


@dataclasses.dataclass(frozen=True)
class Peer:
    """Another server.

    Attributes:
      name: of the folder of its environment, too.
      package: whose version is told.
      requirements: what is installed beside TensorFlow.
      command: of its environment; "{port}" and "{folder}" are filled in.
      files: name → text, put into that folder before the start; filled in, too.
    """

    name: str
    package: str
    requirements: tuple[str, ...]
    command: tuple[str, ...]
    files: tuple[tuple[str, str], ...] = ()


_UVICORN = ("uvicorn", "--port={port}", "--log-level=warning", "--no-access-log")
FASTAPI = Peer(
    "fastapi",
    "fastapi",
    ("fastapi>=0.115", "uvicorn[standard]>=0.34"),
    (*_UVICORN, "fastapi_app:app"),
)
PEERS = (
    FASTAPI,
    Peer(
        "bentoml",
        "bentoml",
        ("bentoml>=1.4",),
        ("bentoml", "serve", "bentoml_app:Recommend", "--port={port}"),
    ),
    Peer(
        "mlserver",
        "mlserver",
        ("mlserver>=1.6",),
        ("mlserver", "start", "{folder}"),
        (
            (
                "settings.json",
                '{"parallel_workers": 0, "debug": false, "host": "127.0.0.1", "http_port": {port},'
                ' "grpc_port": {port+1}, "metrics_port": {port+2}}',
            ),
            (
                "model-settings.json",
                '{"name": "recommend", "implementation": "mlserver_app.Recommend"}',
            ),
        ),
    ),
    Peer("litserve", "litserve", ("litserve>=0.2.10",), ("python", "{programs}/litserve_app.py")),
    Peer("ray", "ray", ("ray[serve]>=2.44",), ("python", "{programs}/ray_app.py")),
)
BARE = dataclasses.replace(FASTAPI, name="bare uvicorn", command=(*_UVICORN, "bare_app:app"))
"""An empty server in FastAPI's environment."""


class PeerError(RuntimeError):
    """A peer that cannot be installed, does not start or answers otherwise; says why."""


def environment(peer: Peer, venvs: pathlib.Path, tensorflow: str) -> pathlib.Path:
    """The folder of its environment, made if it is not there. Raises PeerError."""
    folder = venvs / peer.name
    wanted = [f"tensorflow=={tensorflow}", *peer.requirements]
    done = folder / "installed.txt"
    if done.exists() and done.read_text().split("\n") == wanted:
        return folder
    print(f"{peer.name}: installing {', '.join(wanted)} into {folder}", file=sys.stderr)
    uv = shutil.which("uv") or shutil.which("uv", path=str(pathlib.Path(sys.executable).parent))
    python = folder / "bin" / "python"
    pip = [uv, "pip"] if uv else [str(python), "-m", "pip"]
    install = [*pip, "install", "-q", *(["-p", str(python)] if uv else []), *wanted]
    for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], install):
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            said = (made.stderr or made.stdout).strip().splitlines() or ["no reason was given"]
            raise PeerError(f"{peer.name} cannot be installed: {said[-1]}")
    done.write_text("\n".join(wanted))
    return folder


def version(peer: Peer, folder: pathlib.Path) -> str:
    """Of its package, as it is installed there."""
    code = f"from importlib import metadata; print(metadata.version({peer.package!r}))"
    return subprocess.check_output([folder / "bin" / "python", "-c", code], text=True).strip()


@dataclasses.dataclass(frozen=True)
class Running:
    """A server: its address, and its first process."""

    address: str
    pid: int


@contextlib.contextmanager
def running(
    peer: Peer, environment: pathlib.Path, folder: pathlib.Path, request: "Request", **told: str
) -> Iterator[Running]:
    """Starts a peer and ends it with the block. Raises PeerError.

    What it writes goes into the folder, its output into output.txt. `told` it finds in its
    environment variables, as PEER_….
    """
    port = _free_port()
    filled = {"folder": str(folder), "programs": str(PROGRAMS)}
    filled |= {f"port+{more}": str(port + more) for more in (1, 2)} | {"port": str(port)}
    folder.mkdir(parents=True)
    for name, text in peer.files:
        (folder / name).write_text(_fill(text, filled))
    variables = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONHOME"},
        "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(PROGRAMS),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PEER_PORT": str(port),
        "PEER_PATH": request.path,
        **{f"PEER_{name.upper()}": value for name, value in told.items()},
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    program, *arguments = (_fill(part, filled) for part in peer.command)
    with (folder / "output.txt").open("w+") as output:
        command = [str(environment / "bin" / program), *arguments]
        options = {"stdout": output, "stderr": subprocess.STDOUT, "env": variables, "cwd": folder}
        with processes.running(command, **options) as process:
            address = f"127.0.0.1:{port}"
            _wait(peer, process, address, request, folder / "output.txt")
            yield Running(address, process.pid)


@dataclasses.dataclass(frozen=True)
class Request:
    """A request: the path, and the histories that it asks for."""

    path: str
    histories: tuple[tuple[str, ...], ...]

    def body(self) -> bytes:
        """As JSON."""
        return json.dumps({"instances": [{"history": list(h)} for h in self.histories]}).encode()

    def content(self, address: str) -> bytes:
        """What the server there answers."""
        header = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"http://{address}{self.path}", self.body(), header)
        with urllib.request.urlopen(asked, timeout=60) as response:
            return response.read()

    def answer(self, address: str) -> list[dict]:
        """The predictions of the server there."""
        answer = json.loads(self.content(address))
        return answer["predictions"] if isinstance(answer, dict) else answer


def check(name: str, answer: list[dict], ours: list[dict]) -> None:
    """Raises PeerError unless both have the same items, and scores equal but for rounding."""
    if len(answer) != len(ours):
        raise PeerError(f"{name}: {len(answer)} rows, ours are {len(ours)}")
    for row, (theirs, mine) in enumerate(zip(answer, ours, strict=True)):
        if theirs["item"] != mine["item"]:
            raise PeerError(f"{name}: row {row} has items {theirs['item']}, ours {mine['item']}")
        if not np.allclose(theirs["score"], mine["score"], rtol=1e-5, atol=1e-6):
            raise PeerError(f"{name}: row {row} has scores {theirs['score']}, ours {mine['score']}")


def _wait(
    peer: Peer,
    process: subprocess.Popen,
    address: str,
    request: Request,
    output: pathlib.Path,
) -> None:
    end, said = time.monotonic() + _START_SECONDS, ""
    while time.monotonic() < end and process.poll() is None:
        try:
            request.content(address)
            return
        except (OSError, urllib.error.URLError) as error:
            said = str(error)
            time.sleep(0.2)
    lines = output.read_text().strip().splitlines()
    raise PeerError(f"{peer.name} does not serve: {said}; it wrote: {' / '.join(lines[-3:])}")


def _fill(text: str, filled: dict[str, str]) -> str:
    for name, value in filled.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _free_port() -> int:
    """Of a port that is free, and the two behind it are."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
