"""Builds and runs images without Docker and without a registry, as root on Debian.

The base is made of Debian's packages. buildah builds without namespaces of its own, podman runs in
a mount namespace in which it finds cgroups that it knows (docs/launch/images.md).
"""

import contextlib
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping

ROOT = pathlib.Path(__file__).parents[2]
BASE = "localhost/podway-base:bookworm"
REPOSITORY = "localhost/podway-test"
TOOLS = ("buildah", "podman", "crun", "mmdebstrap")
PACKAGES = "ca-certificates,python3,python3-venv,python3-pip"
NOBODY = 10001
"""The user of all images."""
STOP = """
podman stop --time 60 "$NAME" >/dev/null
podman inspect --format '{{.State.ExitCode}}' "$NAME"
"""
"""Of a shell: SIGTERM, and the exit code that came of it."""
_ENVIRONMENT = {"STORAGE_DRIVER": "overlay", "BUILDAH_ISOLATION": "chroot"}


def missing() -> str | None:
    """Why no image can be built here."""
    lacking = [tool for tool in TOOLS if not shutil.which(tool)]
    if lacking:
        return f"there is no {', '.join(lacking)}; apt-get install {' '.join(TOOLS)}"
    return None if os.geteuid() == 0 else "it needs root"


def run(command: list[str], **options) -> subprocess.CompletedProcess[str]:
    """Runs a command of an engine; its output is in the error if it fails."""
    environment = os.environ | _ENVIRONMENT
    done = subprocess.run(command, env=environment, capture_output=True, text=True, **options)
    assert done.returncode == 0, (
        f"{shlex.join(command)}\n{done.stdout[-3000:]}{done.stderr[-6000:]}"
    )
    return done


def make_base(folder: pathlib.Path) -> None:
    """An image of Debian with Python 3.11, unless there is one."""
    have = subprocess.run(
        ["buildah", "inspect", "--type", "image", BASE],
        env=os.environ | _ENVIRONMENT,
        capture_output=True,
    )
    if have.returncode == 0:
        return
    source = "/etc/apt/sources.list.d/debian.sources"
    options = ["--variant=minbase", f"--include={PACKAGES}"]
    run(["mmdebstrap", *options, "bookworm", str(folder / "base.tar"), source])
    (folder / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
    run(["buildah", "build", "--tag", BASE, str(folder)])


def build(name: str, folder: pathlib.Path, *, anew: bool = False) -> str:
    """Builds an image by images/build.py; its tag. Packages come from where this pip gets them.

    What an earlier build has made is taken from there, unless `anew`.
    """
    settings = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    config = {"cert": "/etc/ssl/certs/ca-certificates.crt"}
    for line in settings.stdout.splitlines():
        key, _, value = line.partition("=")
        if (found := key.rpartition(".")[2]) in ("index-url", "extra-index-url", "trusted-host"):
            config[found] = value.strip("'")
    lines = [f"{key} = {value}" for key, value in config.items()]
    (folder / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))
    mounts = ["/etc/ssl/certs:/etc/ssl/certs:ro", f"{folder / 'pip.conf'}:/etc/pip.conf:ro"]
    options = ["--option=--layers", *(f"--option=--volume={mount}" for mount in mounts)]
    command = [sys.executable, str(ROOT / "images" / "build.py"), name, *options]
    command += ["--engine", "buildah", "--base", BASE, "--repository", REPOSITORY]
    command += ["--option=--no-cache"] if anew else []
    return run(command).stdout.split()[-1]


def container(
    image: str,
    *arguments: str,
    name: str,
    mounts: Mapping[pathlib.Path, pathlib.Path] | None = None,
    then: str = 'podman wait "$NAME"',
    entrypoint: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Starts a container, does `then` (of a shell, in which $NAME is the container), removes it.

    The answer's stdout is what `then` printed, its stderr what the container wrote.
    """
    start = _start(
        *(image, *arguments),
        name=name,
        mounts=mounts or {},
        entrypoint=entrypoint,
        environment=environment or {},
    )
    return subprocess.run(
        _script(name, start, then), env=os.environ | _ENVIRONMENT, capture_output=True, text=True
    )


class Running:
    """A container that a test talks to."""

    def __init__(self, process: subprocess.Popen[str]):
        self._process = process
        self.code, self.said = "", ""

    def stop(self) -> str:
        """Sends SIGTERM and waits for the end; the exit code."""
        if self._process.returncode is None:
            out, self.said = self._process.communicate("\n")
            self.code = out.split()[-1] if out.split() else ""
        return self.code


@contextlib.contextmanager
def running(
    image: str,
    *arguments: str,
    name: str,
    mounts: Mapping[pathlib.Path, pathlib.Path] | None = None,
    entrypoint: str | None = None,
) -> Iterator[Running]:
    """A container until `stop`, or the end of the block."""
    start = _start(image, *arguments, name=name, mounts=mounts or {}, entrypoint=entrypoint)
    process = subprocess.Popen(
        _script(name, start, f"read -r _; {STOP}"),
        env=os.environ | _ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    found = Running(process)
    try:
        yield found
    finally:
        found.stop()


def _start(
    image: str,
    *arguments: str,
    name: str,
    mounts: Mapping[pathlib.Path, pathlib.Path],
    entrypoint: str | None,
    environment: Mapping[str, str] | None = None,
) -> str:
    options = ["--detach", "--cgroups=disabled", "--network=host", f"--name={name}"]
    options += ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]
    options += [f"--volume={here}:{there}" for here, there in mounts.items()]
    options += [f"--entrypoint={entrypoint}"] if entrypoint else []
    options += [f"--env={name}={value}" for name, value in (environment or {}).items()]
    return shlex.join(["podman", "run", *options, image, *arguments])


def _script(name: str, start: str, then: str) -> list[str]:
    """One of that name may be left from a test that was ended."""
    text = f"""
umount /sys/fs/cgroup/unified 2>/dev/null
NAME={shlex.quote(name)}
podman rm --force --ignore "$NAME" >/dev/null 2>&1
{start} </dev/null >/dev/null || exit 125
( {then} )
podman logs "$NAME" >&2
podman rm --force "$NAME" >/dev/null
"""
    return ["unshare", "--mount", "bash", "-c", text]
