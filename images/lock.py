"""Resolves what each image installs, at the versions of requirements.lock.

usage: python images/lock.py        (`make lock` runs it)

An image has the packages of some extras of Podway, and nothing besides.
"""

import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
LOCKS = ROOT / "images" / "locks"

QUEUES_AND_STORES = ("kafka", "pubsub", "rabbitmq", "redis", "bigtable", "postgres")
"""Extras of those of more than one machine."""
EXTRAS = {
    "train-cpu": ("train", "storage", "demo-data"),
    "train-tpu": ("tpu", "storage", "demo-data"),
    "train-cuda": ("cuda13", "storage", "demo-data"),
    "worker": ("data", "gcs", "demo-data"),
    "export": ("data", "export", "storage", "kubernetes", "demo-data"),
    "server": ("serve", "storage"),
    "online": ("online", "storage", *QUEUES_AND_STORES),
}
"""Image → the extras that it installs.

A trainer and an exporter have the demo's raw data, too: by these, or by the package's version, they
find the dataset that was built of them.
"""
BUILD = ("pip", "setuptools>=80", "wheel")
"""What makes the wheel."""


def main() -> int:
    """Writes the locks."""
    uv = shutil.which("uv", path=str(pathlib.Path(sys.executable).parent)) or "uv"
    for name, extras in EXTRAS.items():
        wanted = [word for extra in extras for word in ("--extra", extra)]
        _compile(uv, [str(ROOT / "pyproject.toml"), *wanted], name)
    _compile(uv, ["-"], "build", "\n".join(BUILD))
    return 0


def _compile(uv: str, what: list[str], name: str, text: str = "") -> None:
    command = [uv, "pip", "compile", *what, "--universal", "--python-version", "3.11"]
    command += ["--constraint", str(ROOT / "requirements.lock"), "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--upgrade", "--quiet"]
    command += ["--output-file", str(LOCKS / f"{name}.lock")]
    subprocess.run(command, check=True, input=text, text=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
