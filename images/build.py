"""Builds Podway's images with docker, podman or buildah, whichever is there.

usage: python images/build.py [NAME…] [--repository HOST/PATH] [--push] [--base IMAGE]

Without names it builds all. Prints NAME@sha256:… of what was pushed, as launch targets take it; of
an image that is not pushed, its name. Needs no package, and no installed Podway.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).parents[1]
LOCKS = ROOT / "images" / "locks"
NAMES = tuple(path.stem for path in sorted(LOCKS.glob("*.lock")) if path.stem != "build")
ENGINES = ("docker", "podman", "buildah")


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--repository", default="localhost/podway", help="before /NAME")
    parser.add_argument("--push", action="store_true", help="to the repository's registry")
    parser.add_argument("--base", help="image with Python 3.11 that they are built on")
    parser.add_argument("--engine", choices=ENGINES, help="what builds them")
    parser.add_argument(
        "--option", action="append", default=[], help="a further option of the engine's build"
    )
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in NAMES:
            parser.error(f"there is no image {name!r}; give one of {', '.join(NAMES)}")
    engine = options.engine or next(filter(shutil.which, ENGINES), None)
    if engine is None or not shutil.which(engine):
        parser.error(f"{engine or 'an engine'} is not installed; install docker, podman or buildah")
    try:
        for name in options.names or NAMES:
            tag = f"{options.repository}/{name}:{version()}-{revision()[:12]}"
            build(engine, name, tag, options.base, options.option)
            print(push(engine, tag) if options.push else tag, flush=True)
    except subprocess.CalledProcessError as error:
        print(f"error: {' '.join(error.cmd)} ended with {error.returncode}", file=sys.stderr)
        return 1
    return 0


def build(engine: str, name: str, tag: str, base: str | None, further: Sequence[str] = ()) -> None:
    """Builds one image of this checkout."""
    values = {"IMAGE": name} | ({"BASE": base} if base else {})
    # No arguments: another value of one has some engines build all steps again.
    labels = {"revision": revision(), "version": version()}
    command = [engine, "build", *further, "--file", str(ROOT / "images" / "Dockerfile")]
    for each in values.items():
        command += ["--build-arg", "=".join(each)]
    for key, value in labels.items():
        command += ["--label", f"org.opencontainers.image.{key}={value}"]
    subprocess.run([*command, "--tag", tag, str(ROOT)], check=True, stdout=sys.stderr)


def push(engine: str, tag: str) -> str:
    """Pushes an image; its name with the digest that the registry knows it by."""
    repository = tag.rpartition(":")[0]
    if engine == "docker":
        subprocess.run([engine, "push", tag], check=True, stdout=sys.stderr)
        show = [engine, "image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', tag]
        names = subprocess.run(show, check=True, capture_output=True, text=True).stdout.split()
        return next(name for name in names if name.startswith(f"{repository}@"))
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "digest"
        command = [engine, "push", "--digestfile", str(file), tag]
        subprocess.run(command, check=True, stdout=sys.stderr)
        return f"{repository}@{file.read_text().strip()}"


def version() -> str:
    """Of the wheel."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def revision() -> str:
    """The commit of the checkout, "-changed" where files differ from it; "unknown" without git."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        return os.environ.get("PODWAY_REVISION", "unknown")
    commit = _git("rev-parse", "HEAD")
    return commit + ("-changed" if _git("status", "--porcelain") else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
