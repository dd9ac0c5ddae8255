import itertools
import json
import shutil
import subprocess
import sys

import pytest

from podway.beam import place
from podway.framework import artifact, codec
from podway.framework.error import ConfigError
from podway.launch import experiments
from podway.launch.targets import frozen
from tests.launch import world

CONFIG = """
import dataclasses

from podway.configs import movielens_sasrec
from podway.framework.models.sasrec import SasRec

from PARTS.size import WIDTH


@dataclasses.dataclass(frozen=True)
class Mine(SasRec):
    words: str = "words.txt"
    extra: int = WIDTH


def experiment():
    return dataclasses.replace(movielens_sasrec.experiment(), model=Mine())
"""


_NUMBERS = itertools.count()
READ = """
import json, sys
from podway.framework import codec
from podway.framework.code import sources
from podway.launch import experiments
from podway.launch.targets import frozen
found = experiments.load(sys.argv[1])
version = codec.content_hash(codec.to_json(found, versioned=True))
print(json.dumps([version, sources.code("run", found), frozen.freeze(found).hash]))
"""


def facts(path) -> list[str]:
    """Version, hash of the code and hash of what is frozen, as another process has them."""
    command = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture
def parts() -> str:
    """Name of a package: a process has one of a name."""
    return f"parts_of_frozen_{next(_NUMBERS)}"


@pytest.fixture
def folder(tmp_path, parts):
    home = tmp_path / "mine"
    (home / parts).mkdir(parents=True)
    (home / "mine.py").write_text(CONFIG.replace("PARTS", parts))
    (home / parts / "__init__.py").write_text(f"import {parts}.size\n")
    (home / parts / "size.py").write_text('WIDTH = 3\nWORDS = "list.bin"\n')
    (home / parts / "list.bin").write_bytes(b"\xff\x00")
    (home / "unrelated.py").write_text("1 / 0")
    return home


def unpack(found: frozen.Frozen, home) -> None:
    for path, content in found.files.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(content)


def test_a_config_of_ours_is_one_file(tmp_path):
    experiment = experiments.load("movielens_sasrec")
    found = frozen.freeze(experiment)
    assert list(found.files) == [frozen.FILE]
    unpack(found, tmp_path)
    assert experiments.load(str(tmp_path / frozen.FILE)) == experiment


def test_a_users_code_goes_with_it(folder, parts, tmp_path):
    found = frozen.freeze(experiments.load(str(folder / "mine.py")))
    assert set(found.files) == {
        frozen.FILE,
        "source0/mine.py",
        f"source0/{parts}/__init__.py",
        f"source0/{parts}/size.py",
        f"source0/{parts}/list.bin",
    }
    unpack(found, tmp_path / "elsewhere")
    shutil.copytree(folder, tmp_path / "copy")
    here = facts(folder / "mine.py")
    assert here[2] == found.hash
    assert facts(tmp_path / "copy" / "mine.py") == here, "where it lies does not count"
    assert facts(tmp_path / "elsewhere" / frozen.FILE) == here


def test_its_hash_is_that_of_all_files(folder, parts):
    experiment = experiments.load(str(folder / "mine.py"))
    before = frozen.freeze(experiment).hash
    assert frozen.freeze(experiment).hash == before
    (folder / parts / "list.bin").write_bytes(b"other")
    assert frozen.freeze(experiment).hash != before


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff"])
def test_what_is_no_frozen_experiment(tmp_path, text):
    path = tmp_path / "experiment.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"(?i)experiment"):
        experiments.load(str(path))


def test_an_unknown_field_is_named(tmp_path):
    path = tmp_path / "experiment.json"
    stored = codec.to_json(experiments.load("movielens_sasrec")) | {"colour": "red"}
    path.write_text(json.dumps(stored))
    with pytest.raises(ConfigError, match="colour"):
        experiments.load(str(path))


WORKER = """
import sys
for name in ("flax", "grain", "jax", "optax", "orbax", "tensorflow"):
    sys.modules[name] = None  # what podway[data] does not bring
from podway.launch import cli
cli.main(sys.argv[1:])
"""


def test_where_datasets_are_built_nobody_needs_the_model(tmp_path):
    """As in the first pod of a launch."""
    world.write(tmp_path)
    experiment = world.shop(tmp_path)
    unpack(frozen.freeze(experiment), tmp_path / "frozen")
    rest = [str(tmp_path / "frozen" / frozen.FILE), "--workdir", str(tmp_path / "w")]
    command = [sys.executable, "-c", WORKER]
    done = subprocess.run([*command, "data", *rest], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert artifact.exists(place.directory(experiment.data, tmp_path / "w"))
    done = subprocess.run([*command, "train", *rest], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'podway[train]' brings it" in done.stderr
