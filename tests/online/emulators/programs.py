"""Builds Google's own doubles of Pub/Sub and Bigtable, which are Go modules.

usage: python -m tests.online.emulators.programs

Its larger emulator of Pub/Sub comes with the Google Cloud CLI alone: from neither Maven nor PyPI.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
WITHOUT = "PODWAY_WITHOUT_EMULATORS"
"""Set in the environment where the modules could not be fetched: no test tries it again."""
UNFETCHED = 3
"""Exit code where the modules could not be fetched; what does not compile is another failure."""
PROGRAMS = {"pubsub": "./pubsub", "emulator": "cloud.google.com/go/bigtable/cmd/emulator"}


def place(name: str) -> pathlib.Path:
    """Where a program lies when it is built of the sources as they are."""
    sources = (HERE / "go.mod", HERE / "go.sum", *sorted(HERE.glob("*/*.go")))
    content = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources))
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return cache / "podway" / f"emulators-{content.hexdigest()[:16]}" / name


def build() -> list[pathlib.Path]:
    """The programs, built at the machine's lowest priority unless they are there. Raises
    CalledProcessError."""
    targets = [place(name) for name in PROGRAMS]
    if all(target.exists() for target in targets):
        return targets
    parent = targets[0].parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as scratch:
        subprocess.run(["go", "mod", "download"], cwd=HERE, check=True)
        flags = ["-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", f"{scratch}/"]
        subprocess.run(
            ["nice", "go", "build", *flags, *PROGRAMS.values()],
            cwd=HERE,
            env=os.environ | {"CGO_ENABLED": "0"},
            check=True,
        )
        for target in targets:
            os.replace(pathlib.Path(scratch) / target.name, target)
    return targets


def main() -> int:
    """Builds them; says where they are, or why not."""
    if shutil.which("go") is None:
        print("NO EMULATORS: no `go`: install Go 1.26 (https://go.dev/dl)", file=sys.stderr)
        return UNFETCHED
    try:
        print(*build(), sep="\n")
    except subprocess.CalledProcessError as error:
        if "download" in error.cmd:
            print("NO EMULATORS: their Go modules could not be fetched", file=sys.stderr)
            return UNFETCHED
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
