"""A wheel installs one name, which works from anywhere, whatever lies there."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.test_walls import ROOMS, ROOT

FILES = ("pyproject.toml", "README.md", "LICENSE", "src", *ROOMS)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> pathlib.Path:
    """Built of a copy of the sources, where no earlier build lies."""
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheel"))
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in FILES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(ROOT / name, source / name)
    build = [*(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"), "--no-index"]
    build += ["--no-build-isolation", "--disable-pip-version-check", "-w", str(target)]
    subprocess.run([*build, str(source)], check=True)
    (made,) = target.glob("*.whl")
    return made


@pytest.fixture
def installed(wheel, tmp_path) -> pathlib.Path:
    """What pip would put into site-packages."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    return tmp_path / "site"


def test_one_name_is_installed_with_every_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {"podway"}
    kinds = ("*.py", "*.css", "*.html.j2", "*.js", "*.toml")
    sources = [path for room in ROOMS for kind in kinds for path in (ROOT / room).rglob(kind)]
    assert ROOT / "framework" / "page" / "page.html.j2" in sources
    expected = {f"podway/{path.relative_to(ROOT).as_posix()}" for path in sources}
    assert names == expected | {"podway/__init__.py", "podway/py.typed"}


def test_it_works_beside_folders_that_are_called_like_rooms(installed, tmp_path):
    """From a folder with rooms of the user's own, which is on PYTHONPATH as well."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        for room in ROOMS:
            (folder / room).mkdir(parents=True)
            (folder / room / "__init__.py").write_text(f"raise SystemExit('not this {room}')\n")
    own = {"PYTHONPATH": os.pathsep.join(map(str, (there, installed, here)))}
    for command in (
        ["podway.launch.cli", "configs"],
        ["podway.launch.cli", "show", "movielens_sasrec"],
        ["podway.export.server", "--version"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=here,
            env=os.environ | own,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    origin = "import podway.launch.cli as cli; print(cli.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", origin], cwd=here, env=os.environ | own, capture_output=True
    )
    assert done.stdout.decode().startswith(str(installed))
