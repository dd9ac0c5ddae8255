"""Fetches JAX's plugin for CUDA and NVIDIA's assembler, which compile for GPUs that are not here.

usage: python -m tests.framework.gpus.plugin

Not into the environment of the other tests: there every process that imports JAX would load it.
"""

import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile

LOCK = pathlib.Path(__file__).parent / "requirements.lock"
WITHOUT = "PODWAY_WITHOUT_CUDA"
"""Set in the environment where the packages could not be fetched: no test tries it again."""
UNFETCHED = 3
"""Exit code where they could not be fetched."""


def place() -> pathlib.Path:
    """The folder in which they lie when they are there."""
    content = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return cache / "podway" / f"cuda-{content}"


def fetch() -> pathlib.Path:
    """The folder, filled unless it is. Raises CalledProcessError."""
    target = place()
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        packages = pathlib.Path(scratch) / "packages"
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        options = ["--no-deps", "--require-hashes", "-r", LOCK, "--target", packages]
        subprocess.run([*pip, *options], check=True)
        os.replace(packages, target)
    return target


def environment() -> dict[str, str]:
    """Of a process that compiles with them."""
    paths = [str(fetch()), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(paths),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "XLA_FLAGS": "",
    }


def main() -> int:
    """Fetches them; says where they are, or that they could not be had."""
    try:
        print(fetch())
    except subprocess.CalledProcessError:
        print("NO CUDA: the packages could not be fetched", file=sys.stderr)
        return UNFETCHED
    return 0


if __name__ == "__main__":
    sys.exit(main())
