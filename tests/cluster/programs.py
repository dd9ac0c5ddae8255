"""Builds the Go programs that prove manifests, once for each version of their sources.

usage: python -m tests.cluster.programs [validate kubelite kueue]

They are made of Kubernetes' own modules, which the go command fetches (docs/launch/proof.md).
"""

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
VERSION = "v1.35.4"
"""Of Kubernetes, as go.mod has it: what the API server says of itself."""


WITHOUT = "PODWAY_WITHOUT_KUBE"
"""Set in the environment where the modules could not be fetched: no test tries it again."""
UNFETCHED = 3
"""Exit code where the modules could not be fetched; what does not compile is another failure."""


def missing() -> str | None:
    """Why the programs can't be built here."""
    if os.environ.get(WITHOUT):
        return "their modules could not be fetched"
    if shutil.which("go") is None:
        return "there is no go command; install Go 1.25 or later (https://go.dev/dl)"
    return None


def place(name: str) -> pathlib.Path:
    """Where a program lies when it is built of the sources as they are."""
    sources = [path for path in sorted((HERE / name).iterdir()) if path.suffix in _SOURCES]
    content = hashlib.sha256()
    for path in sources:
        content.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return cache / "podway" / f"kube-{content.hexdigest()[:16]}" / name


def module(name: str, path: str) -> pathlib.Path:
    """The folder of a module that a program is built with."""
    words = ["go", "list", "-m", "-f", "{{.Dir}}", path]
    done = subprocess.run(words, cwd=HERE / name, check=True, capture_output=True, text=True)
    return pathlib.Path(done.stdout.strip())


def build(name: str) -> pathlib.Path:
    """The program, built at the machine's lowest priority unless it is there."""
    target = place(name)
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = pathlib.Path(scratch) / name
        subprocess.run(["go", "mod", "download"], cwd=HERE / name, check=True)
        flags = ["-trimpath", "-buildvcs=false", "-ldflags", _LINKER, "-o", str(made)]
        subprocess.run(
            ["nice", "go", "build", *flags, "."],
            cwd=HERE / name,
            env=os.environ | {"CGO_ENABLED": "0"},
            check=True,
        )
        os.replace(made, target)
    return target


_SOURCES = {".go", ".mod", ".sum"}
_MAJOR, _MINOR, _ = VERSION.removeprefix("v").split(".")
_LINKER = " ".join(
    [
        "-s -w",
        *(
            f"-X k8s.io/component-base/version.{name}={value}"
            for name, value in [("gitVersion", VERSION), ("gitMajor", _MAJOR), ("gitMinor", _MINOR)]
        ),
    ]
)


def main(names: list[str]) -> int:
    """Builds the named programs, or all; says where they are, or why not."""
    if why := missing():
        print(f"NO KUBERNETES: {why}; its tests are skipped", file=sys.stderr)
        return UNFETCHED
    for name in names or ["validate", "kubelite", "kueue"]:
        try:
            print(build(name))
        except subprocess.CalledProcessError as error:
            if "download" in error.cmd:
                print("NO KUBERNETES: its Go modules could not be fetched", file=sys.stderr)
                return UNFETCHED
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
