"""Builds and runs images without Docker and without a registry, as root on Debian.

The base is made of Debian's packages. buildah builds without namespaces of its own, podman runs in
a mount namespace in which it finds cgroups that it knows (docs/launch/images.md).
"""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping

ROOT = pathlib.Path(__file__).parents[2]
BASE = "localhost/podway-base:bookworm"
REPOSITORY = "localhost/podway-test"
TOOLS = ("buildah", "podman", "crun", "mmdebstrap")
PACKAGES = "ca-certificates,python3,python3-venv,python3-pip"
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


def build(name: str, folder: pathlib.Path) -> str:
    """Builds an image by images/build.py; its tag. Packages come from where this pip gets them."""
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
    options = [f"--option=--volume={mount}" for mount in mounts]
    command = [sys.executable, str(ROOT / "images" / "build.py"), name, *options]
    command += ["--engine", "buildah", "--base", BASE, "--repository", REPOSITORY]
    return run(command).stdout.split()[-1]


def container(
    image: str,
    *arguments: str,
    name: str,
    mounts: Mapping[pathlib.Path, pathlib.Path] | None = None,
    then: str = 'podman wait "$NAME"',
    entrypoint: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Starts a container, does `then` (of a shell, in which $NAME is the container), removes it.

    The answer's stdout is what `then` printed, its stderr what the container wrote.
    """
    options = ["--detach", "--cgroups=disabled", "--network=host", f"--name={name}"]
    options += ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]
    options += [f"--volume={here}:{there}" for here, there in (mounts or {}).items()]
    options += [f"--entrypoint={entrypoint}"] if entrypoint else []
    start = shlex.join(["podman", "run", *options, image, *arguments])
    script = f"""
umount /sys/fs/cgroup/unified 2>/dev/null
NAME={shlex.quote(name)}
{start} >/dev/null || exit 125
( {then} )
podman logs "$NAME" >&2
podman rm --force "$NAME" >/dev/null
"""
    return subprocess.run(
        ["unshare", "--mount", "bash", "-c", script],
        env=os.environ | _ENVIRONMENT,
        capture_output=True,
        text=True,
    )
