"""Python programs of tests, each a process of its own, which need not import what takes seconds.

JAX, TensorFlow and Beam take two to eight seconds of a core to be imported, before a program does
anything. `Popen` and `run` are subprocess's, for `python -m MODULE`: the new process is forked from
one that has imported them and has done nothing else. A test of what a program imports, or of where
it looks for it, starts Python itself; so does one command of the chain's test.
"""
# pyright: reportAttributeAccessIssue=false
# (what subprocess has for itself)

import contextlib
import gc
import importlib
import json
import os
import pathlib
import runpy
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]
TRAINING = ("tests.framework.worker", "tests.framework.meshes", "pandas")
"""Modules of a process that trains: JAX, no TensorFlow; Arrow asks for pandas."""
CHAIN = (*TRAINING, "podway.launch.cli", "podway.beam.dataset", "podway.export.stage")
"""Of one that does all that `podway` does."""
FIXED = ("JAX_", "TF_", "PYTHON", "LD_")
"""Starts of environment variables that are read when something is imported."""
used = 0.0
"""Seconds of a core that what was forked has taken."""
_LARGEST = 1 << 17
_END = struct.Struct("=id")
"""How a process ended, as os.waitpid says it, and the seconds of a core that it took."""
_origins: dict[tuple[str, ...], socket.socket] = {}


class Popen(subprocess.Popen):
    """subprocess.Popen of (MODULE, *arguments), with what `imports` names already imported."""

    def __init__(self, command: Sequence[str], imports: tuple[str, ...] = CHAIN, **options: Any):
        self._imports = imports
        self._status: socket.socket | None = None
        super().__init__([sys.executable, "-m", *command], **options)

    def _execute_child(self, args, *rest) -> None:  # subprocess's own, for POSIX
        _, before, _, passed, cwd, env, _, _, shell, *pipes = rest
        pipes, session = pipes[:6], rest[-2]
        assert not any((before, passed, shell)), "use subprocess"
        environment = dict(os.environ if env is None else env)
        differ = {
            name
            for name, _ in environment.items() ^ os.environ.items()
            if name.startswith(FIXED) and name != "JAX_PLATFORMS"
        }
        assert not differ, f"{differ} would be read too late: use subprocess"
        streams = [pipes[0], pipes[3], pipes[5]]
        files = [number if own == -1 else own for number, own in enumerate(streams)]
        self._status, theirs = socket.socketpair()
        asked = {
            "module": args[2],
            "arguments": args[3:],
            "cwd": os.fspath(cwd or os.getcwd()),
            "environment": environment,
            "session": bool(session),
        }
        try:
            with theirs:
                message = json.dumps(asked).encode()
                assert len(message) < _LARGEST
                socket.send_fds(_origin(self._imports), [message], [*files, theirs.fileno()])
            self.pid = int.from_bytes(self._status.recv(4, socket.MSG_WAITALL), "big")
            assert self.pid, "the process that others are forked from has ended"
            self._child_created = True
        finally:
            self._close_pipe_fds(*pipes)

    def _ended(self, pid: int, flags: int) -> tuple[int, int]:
        """os.waitpid: the process is no child of ours, and its parent tells."""
        assert self._status
        global used
        self._status.setblocking(not flags & os.WNOHANG)
        try:
            told = self._status.recv(_END.size)
        except BlockingIOError:
            return 0, 0
        self._status.close()
        code, seconds = _END.unpack(told) if told else (signal.SIGKILL, 0.0)
        used += seconds
        return pid, code

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        return self._ended(self.pid, wait_flags)

    def _internal_poll(self, _deadstate=None, _waitpid=None, **others) -> int | None:
        return super()._internal_poll(_deadstate, _waitpid=self._ended, **others)


def run(
    command: Sequence[str], *, timeout: float | None = None, **options: Any
) -> subprocess.CompletedProcess:
    """subprocess.run of (MODULE, *arguments), with `capture_output` and `text`."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with Popen(command, **(streams | options)) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _origin(imports: tuple[str, ...]) -> socket.socket:
    """The connection to the process that others are forked from: it ends when this one does."""
    if imports not in _origins:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            subprocess.Popen(
                [sys.executable, "-m", "tests.forked", str(theirs.fileno()), *imports],
                cwd=ROOT,
                env=os.environ | {"JAX_PLATFORMS": "cpu"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        _origins[imports] = ours
    return _origins[imports]


def main() -> None:
    number, *imports = sys.argv[1:]
    for name in imports:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the parents
    with socket.socket(fileno=int(number)) as asked:
        while True:
            message, files, _, _ = socket.recv_fds(asked, _LARGEST, 4)
            if not message:
                return
            if not os.fork():
                asked.close()
                _parent(json.loads(message), files)
            for file in files:
                os.close(file)


def _parent(asked: dict[str, Any], files: list[int]) -> None:
    """Forks the process, and tells of its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, status = files
    if not (pid := os.fork()):
        os.close(status)
        _become(asked, streams)
    for file in streams:
        os.close(file)
    with contextlib.suppress(BrokenPipeError), socket.socket(fileno=status) as told:
        told.sendall(pid.to_bytes(4, "big"))
        _, code, spent = os.wait4(pid, 0)
        told.sendall(_END.pack(code, spent.ru_utime + spent.ru_stime))
    os._exit(0)


def _become(asked: dict[str, Any], streams: list[int]) -> None:
    """Does what `python -m MODULE` does."""
    for number, file in enumerate(streams):
        os.dup2(file, number)
        os.close(file)
    if asked["session"]:
        os.setsid()
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[0] = asked["cwd"]
    sys.argv = [asked["module"], *asked["arguments"]]
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, buffering=1 if number == 2 else -1, closefd=False)  # noqa: SIM115
        for number, mode in enumerate("rww")
    )
    sys.modules.pop(asked["module"], None)
    code = 0
    try:
        runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
        if not (code is None or isinstance(code, int)):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    _leave(code or 0)


def _leave(code: int) -> None:
    """As Python ends: waits for threads, calls what asked for it, empties the streams."""
    import atexit

    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code & 0xFF)


if __name__ == "__main__":
    main()
