"""What is done on a machine itself: looks, checks, starts, stops.

Its source goes to the machine's Python by ssh, with one request behind it, so that nothing has to
be there before. So it needs the standard library alone, and is read by older Pythons, too, which
it then says.

A process of a launch has a folder: `lock` is held as long as it runs, its children included;
`state.json` is what it does, `output.log` what it writes, `experiment/` what it runs, `spec.json`
how, and `stop` is there once it was asked to end for good.
"""

import base64
import contextlib
import fcntl
import glob
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ANSWER = "podway answers: "
"""Before the answer: what a shell's own files print is not one."""
OLDEST = (3, 11)
LAUNCHES = "~/.podway/launches"
CHUNK = 200_000
"""Bytes of a log at once."""


def look(folder, offset=None, tail=0):
    """What the process does, and what it wrote: from `offset` on, or its last lines."""
    home = pathlib.Path(folder).expanduser()
    found = {"alive": _held(home / "lock"), "state": None, "log": "", "offset": offset or 0}
    with contextlib.suppress(FileNotFoundError):
        found["state"] = json.loads((home / "state.json").read_text())
    found["stop"] = (home / "stop").exists()
    if offset is None and not tail:
        return found
    with contextlib.suppress(FileNotFoundError), (home / "output.log").open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        begin = max(size - CHUNK, 0) if tail else min(offset or 0, size)
        file.seek(begin)
        text = file.read(CHUNK)
        if not tail and found["alive"]:  # no half lines
            text = text[: text.rfind(b"\n") + 1] or (text if len(text) == CHUNK else b"")
        found["offset"] = begin + len(text)
        lines = text.decode(errors="replace").splitlines(keepends=True)
        found["log"] = "".join(lines[-tail:] if tail else lines)
    return found


def facts(folder, files, workdir, environment):
    """What is to be known of a machine before anything starts there."""
    home = pathlib.Path(folder).expanduser()
    _use(environment)
    return {
        "time": time.time(),
        "name": socket.gethostname(),
        "python": list(sys.version_info[:3]),
        "alive": _held(home / "lock"),
        "home": _writable(home.parent.parent),
        "workdir": _writable(_path(workdir)),
        "identity": _identity(files),
        "accelerators": len(glob.glob("/dev/nvidia[0-9]*") + glob.glob("/dev/accel[0-9]*")),
        "others": _others(home),
        "ends_at_logout": _ends_at_logout(),
    }


def share(workdir, name, text, environment):
    """Writes a file that the others must see; says whether the folder is new."""
    _use(environment)
    folder = _path(workdir)
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return {"new": new}


def unshare(workdir, name, new, environment):
    """Removes it, and the folder if it was new."""
    _use(environment)
    with contextlib.suppress(OSError):
        (_path(workdir) / name).unlink()
    if new and "://" not in workdir:
        with contextlib.suppress(OSError):
            pathlib.Path(workdir).rmdir()
    return {}


def listen(port, guests, seconds):
    """Takes the port of process 0, until all guests have come, or for so many seconds."""
    try:
        server = socket.create_server(("", port))
    except OSError as error:
        return {"error": os.strerror(error.errno or 0)}
    deadline = time.monotonic() + seconds
    with server:
        while guests and time.monotonic() < deadline:
            server.settimeout(max(deadline - time.monotonic(), 0.01))
            with contextlib.suppress(OSError):
                server.accept()[0].close()
                guests -= 1
    return {"error": ""}


def join(workdir, name, text, address, port, seconds, environment):
    """Whether this machine sees the file that process 0's wrote, and reaches its port (0: none)."""
    _use(environment)
    deadline = time.monotonic() + seconds
    reached, said = not port, ""
    while not reached:
        try:
            socket.create_connection((address, port), timeout=3).close()
            reached = True
        except OSError as error:
            said = os.strerror(error.errno) if error.errno else str(error)
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
    return {"sees": _sees(_path(workdir) / name, text, deadline), "reached": reached, "error": said}


def start(folder, files, spec):
    """Starts the process, unless it runs. It outlives this connection."""
    home = pathlib.Path(folder).expanduser()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _lock(home) as lock:
        if lock is None:
            return {"started": False}
        _write_all(home / "experiment", files)
        # From now on somebody waits for the run (framework/runs/lifetime.py).
        submitted = spec["environment"].setdefault("PODWAY_SUBMITTED", str(time.time()))
        spec["launch"]["submitted"] = float(submitted)  # by which its account of time is found
        _write(home / "spec.json", json.dumps(spec, indent=1))
        _begin(home, spec, lock)
    return {"started": True}


def again(folder, skip):
    """Starts it as it was started before, without stages that are done, unless it runs."""
    home = pathlib.Path(folder).expanduser()
    with _lock(home) as lock:
        if lock is None:
            return {"started": False}
        spec = json.loads((home / "spec.json").read_text())
        spec["stages"] = [each for each in spec["stages"] if each["name"] not in skip]
        _write(home / "spec.json", json.dumps(spec, indent=1))
        _begin(home, spec, lock)
    return {"started": True}


@contextlib.contextmanager
def _lock(home):
    """The lock's file; None: a process has it."""
    with (home / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield lock


def _begin(home, spec, lock):
    """Starts the runner, which takes over the lock."""
    (home / "stop").unlink(missing_ok=True)
    _write(home / "state.json", json.dumps({"state": "running", "stage": "", **spec["launch"]}))
    with (home / "output.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "podway.launch.targets.machines.runner", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            start_new_session=True,
            pass_fds=[lock.fileno()],
            env={**os.environ, **spec["environment"], "PODWAY_LOCK": str(lock.fileno())},
        )


def stop(folder):
    """Asks the process to save and to end."""
    home = pathlib.Path(folder).expanduser()
    if not _held(home / "lock"):
        return look(folder)
    (home / "stop").touch()
    state = json.loads((home / "state.json").read_text())
    if pid := state.get("pid"):
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:  # it was killed, and its child runs on
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)
    return look(folder)


def shell(command, environment):
    """Runs a command of the user's; its code, and the last it wrote."""
    _use(environment)
    done = subprocess.run(
        command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return {"code": done.returncode, "said": done.stdout[-2000:]}


def _use(environment):
    os.environ.update(environment)
    sys.path[:0] = [each for each in environment.get("PYTHONPATH", "").split(":") if each]


def _path(workdir):
    if "://" not in workdir:
        return pathlib.Path(workdir)
    from etils import epath  # comes with podway

    return epath.Path(workdir)


def _held(path):
    """Whether a process holds a lock."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _writable(folder):
    """Why nothing can be written there; "" where it can. A folder that is not there stays so."""
    try:
        while isinstance(folder, pathlib.Path) and not folder.exists():
            folder = folder.parent
        probe = folder / f".podway-{socket.gethostname()}-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except ImportError as error:
        return f"{error.name or error} is not installed"
    except Exception as error:  # of any file system
        return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
    return ""


def _identity(files):
    """What Podway there makes of the experiment, or {"error": why it makes nothing}."""
    with tempfile.TemporaryDirectory() as folder:
        _write_all(pathlib.Path(folder) / "experiment", files)
        module = "podway.launch.targets.machines.identity"
        done = subprocess.run(
            [sys.executable, "-m", module, f"{folder}/experiment/experiment.json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode:
        return {"error": lines[-1] if lines else f"exit code {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def _others(home):
    """Names of other launches that run here."""
    locks = home.parent.parent.glob("*/*/lock")
    return sorted(
        {lock.parent.parent.name for lock in locks if lock.parent != home and _held(lock)}
        - {home.parent.name}
    )


def _ends_at_logout():
    """Whether the machine ends a user's processes when the last session does."""
    try:
        said = subprocess.run(
            ["loginctl", "show-user", str(os.getuid()), "-p", "Linger"],
            capture_output=True,
            text=True,
            timeout=5,
        ).stdout
        manager = subprocess.run(
            [
                *("busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1"),
                *("org.freedesktop.login1.Manager", "KillUserProcesses"),
            ],
            capture_output=True,
            text=True,
            timeout=5,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return manager.strip() == "b true" and "Linger=yes" not in said


def _sees(path, text, deadline):
    while True:
        with contextlib.suppress(OSError, ImportError):
            if path.read_text() == text:
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)


def _write(path, text):
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)


def _write_all(folder, files):
    """A folder with these files (base64) and no others."""
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for name, content in files.items():
        path = new / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))
    shutil.rmtree(folder, ignore_errors=True)
    new.replace(folder)


def main(request):
    """Does what is asked, and prints the answer."""
    if sys.version_info[:2] < OLDEST:
        answer = {"python": list(sys.version_info[:3])}
    else:
        answer = globals()[request["do"]](**request["with"])
    print(f"\n{ANSWER}{json.dumps(answer)}", flush=True)
