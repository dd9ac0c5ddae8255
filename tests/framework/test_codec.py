"""Names of classes in stored configs: found again, wherever their files lie."""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import typing
from collections.abc import Iterator

import pytest

from podway.framework import codec, config
from podway.framework.code import classes, imports
from podway.framework.config import Csv, Data, Experiment, Model
from podway.framework.error import ConfigError
from tests.framework.experiments import walks

ROOT = pathlib.Path(__file__).parent.parent.parent
GOLDEN = ROOT / "tests" / "golden"


def annotated() -> set[type]:
    """The classes that fields of config parts are annotated with."""
    for path in (ROOT / "framework" / "models").glob("*.py"):
        __import__(f"podway.framework.models.{path.stem}")
    found, ahead = set(), [Experiment]
    while ahead:
        cls = ahead.pop()
        if cls in found:
            continue
        found.add(cls)
        ahead += cls.__subclasses__()
        hints = typing.get_type_hints(cls)
        for field in dataclasses.fields(cls):
            ahead += _dataclasses(hints[field.name])
    return found


def _dataclasses(hint) -> list:
    if dataclasses.is_dataclass(hint):
        return [hint]
    return [each for part in typing.get_args(hint) for each in _dataclasses(part)]


def test_no_two_classes_below_one_base_have_the_same_name():
    bases = [cls for cls in annotated() if cls.__subclasses__()]
    assert {Model, config.Format, config.Optimizer} <= set(bases)
    for base in bases:
        ours = [cls for cls in set(classes.subclasses(base)) if classes.is_ours(cls)]
        names = [cls.__qualname__ for cls in ours]
        assert sorted(names) == sorted(set(names)), base
        for cls in ours:
            assert classes.describe(cls) == {"type": cls.__qualname__}
            assert classes.find(base, cls.__qualname__, None, "here") is cls


def test_a_name_is_found_in_a_process_that_has_imported_nothing():
    """The data part without JAX, as on a worker of Beam; a model by the file that defines it."""
    code = f"""
import json, pathlib, sys
from podway.framework import codec
from podway.framework import config
content = json.loads(pathlib.Path({str(GOLDEN / "movielens_retrieve_rank.json")!r}).read_text())
codec.from_json(config.Data, content["data"])
assert "jax" not in sys.modules
experiment = codec.from_json(config.Experiment, content)
assert codec.to_json(experiment) == content
assert "podway.framework.models.hstu" not in sys.modules, "only what is needed is imported"
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_older_files_have_dotted_names():
    text = codec.to_json(walks())
    text["data"]["format"]["type"] = "podway.framework.config.Csv"
    text["model"]["type"] = "podway.framework.models.sasrec.SasRec"
    assert codec.from_json(Experiment, text) == walks()


def test_a_name_that_nothing_has_is_one_sentence():
    text = codec.to_json(walks())
    text["data"]["format"]["type"] = "Excel"
    with pytest.raises(ConfigError, match=r"^data.format: there is no Format called 'Excel'$"):
        codec.from_json(Experiment, text)
    text["data"]["format"]["type"] = "SasRec"  # of another base
    with pytest.raises(ConfigError, match="there is no Format called 'SasRec'"):
        codec.from_json(Experiment, text)


MODEL = """
import dataclasses
from podway.framework.config import Model

@dataclasses.dataclass(frozen=True)
class Mine(Model):
    width: int = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[pathlib.Path]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "mine_of_test_codec.py").write_text(MODEL)
    package = tmp_path / "package_of_test_codec"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text(MODEL)
    yield tmp_path
    for name in [name for name in sys.modules if "of_test_codec" in name]:
        del sys.modules[name]


def _with(model: Model) -> Experiment:
    return Experiment("x", Data("x", "y", format=Csv()), model=model)


def test_a_users_class_is_stored_with_its_file(folder):
    experiment = _with(classes.load(folder / "mine_of_test_codec.py").Mine(width=5))
    text = codec.to_json(experiment)
    assert text["model"] == {
        "type": "mine_of_test_codec.py:Mine",
        "from": str(folder),
        "width": 5,
    }
    assert codec.from_json(Experiment, text) == experiment
    assert "from" not in codec.to_json(experiment, versioned=True)["model"]


def test_a_module_beside_a_file_is_the_same_as_the_file(folder):
    """Imported by its name, it is not loaded a second time under another one."""
    sys.path.append(str(folder))
    module = __import__("mine_of_test_codec")
    text = codec.to_json(_with(module.Mine()))
    assert text["model"]["type"] == "mine_of_test_codec.py:Mine"
    assert type(codec.from_json(Experiment, text).model) is module.Mine


def test_a_package_is_stored_with_its_folder_unless_it_is_installed(folder, monkeypatch):
    sys.path.append(str(folder))
    module = __import__("package_of_test_codec.part").part
    text = codec.to_json(_with(module.Mine()))
    assert text["model"]["type"] == "package_of_test_codec.part:Mine"
    assert text["model"]["from"] == str(folder)
    monkeypatch.setattr(imports, "installed", lambda: {folder})
    text = codec.to_json(_with(module.Mine()))
    assert "from" not in text["model"]
    assert type(codec.from_json(Experiment, text).model) is module.Mine
    text["model"]["type"] = "no_package_of_test_codec.part:Mine"
    with pytest.raises(ConfigError, match="there is no module 'no_package_of_test_codec'"):
        codec.from_json(Experiment, text)


def test_the_same_code_in_another_folder_has_the_same_version(folder):
    def version(path: pathlib.Path):
        experiment = _with(classes.load(path / "mine_of_test_codec.py").Mine())
        return codec.to_json(experiment, versioned=True), codec.to_json(experiment)

    copy = folder / "copy"
    copy.mkdir()
    shutil.copy(folder / "mine_of_test_codec.py", copy)
    (ours, stored), (theirs, elsewhere) = version(folder), version(copy)
    assert ours == theirs
    assert stored != elsewhere
    assert codec.difference(stored, elsewhere) is None
    assert str(folder) not in json.dumps(ours)


def test_a_file_that_has_gone_is_named(folder):
    path = folder / "gone_of_test_codec.py"
    path.write_text(MODEL)
    text = codec.to_json(_with(classes.load(path).Mine()))
    path.unlink()
    message = f"^model is a Mine of {path}, which is no longer there$"
    with pytest.raises(ConfigError, match=message):
        codec.from_json(Experiment, text)
    text["model"] |= {"type": "mine_of_test_codec.py:Other"}
    with pytest.raises(ConfigError, match=r"mine_of_test_codec.py, which has no such Model$"):
        codec.from_json(Experiment, text)


def test_what_no_other_process_finds_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Inside(Model):
        pass

    with pytest.raises(ConfigError, match="the class Inside is defined inside a function"):
        codec.to_json(_with(Inside()))
    Inside.__qualname__, Inside.__module__ = "Inside", "__main__"
    with pytest.raises(ConfigError, match="the class Inside is defined in __main__"):
        codec.to_json(_with(Inside()))


@dataclasses.dataclass(frozen=True)
class Typed(Model):
    type: str = "x"


def test_a_field_that_would_hide_the_class_is_refused():
    with pytest.raises(ConfigError, match="a field of Typed is called 'type'"):
        codec.to_json(_with(Typed()))


def test_imports_are_read_without_running_anything(tmp_path):
    file = tmp_path / "a" / "b.py"
    file.parent.mkdir()
    file.write_text(
        "from typing import TYPE_CHECKING\nimport x.y\nfrom . import c\nfrom .d import e\n"
        "if TYPE_CHECKING:\n    import never\nelse:\n    import other\n"
        "def f():\n    from z import w\n"
    )
    found = imports.imported("a.b", file)
    assert {"x.y", "a.c", "a.d", "a.d.e", "z", "z.w", "other"} <= found
    assert "never" not in found


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_what_is_read_back_is_written_alike(path):
    """A default of 0 for a float would come back as 0.0: another text, and another hash of it."""
    text = path.read_text()
    found = codec.from_json(Experiment, json.loads(text))
    assert json.dumps(codec.to_json(found), indent=2, ensure_ascii=False) + "\n" == text
