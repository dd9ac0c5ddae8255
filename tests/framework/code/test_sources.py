"""What a version hashes: the lists are complete, and nothing else is in them."""

import dataclasses
import importlib
import pathlib
import shutil
import sys

import pytest

from podway.framework.code import classes, imports, provenance, sources
from podway.framework.models.hstu import Hstu
from podway.framework.training.optimizer import AdamW
from podway.launch import experiments
from tests.framework.experiments import walks

KINDS = list(sources.SOURCES)


@pytest.mark.parametrize("kind", KINDS)
def test_the_list_of_a_kind_is_what_its_entries_import(kind):
    """Fails for a module that takes part and is not listed, and for one that is and does not."""
    listed = sources.SOURCES[kind]
    neutral = {**sources.NEUTRAL, **listed.neutral}
    found = imports.closure(
        listed.entries, lambda module: sources.is_neutral(module, listed.modules, neutral)
    )
    unlisted = {module for module in found if not sources.is_under(module, listed.modules)}
    assert not unlisted, f"add them to sources.py: to the list of {kind}, or as neutral"
    idle = {name for name in listed.modules if not any(sources.is_under(m, [name]) for m in found)}
    assert not idle, f"nothing imports them any more: take them out of the list of {kind}"
    assert not set(listed.modules) & set(neutral)


def test_what_is_neutral_is_imported_and_says_why():
    """A name that nobody imports any more must not stay as an excuse."""
    for listed in sources.SOURCES.values():
        files = dict(pair for name in listed.modules for pair in sources.expand(name))
        names = {
            imports.own(each) or each
            for name, file in files.items()
            for each in imports.imported(f"podway.{name}", file)
        }
        for name, reason in listed.neutral.items():
            assert reason
            assert any(sources.is_under(each, [name]) for each in names), name
    for name, reason in sources.NEUTRAL.items():
        assert reason
        assert imports.file_of(name), name


@pytest.mark.parametrize("kind", ["run", "evaluation", "model"])
def test_what_models_and_optimizers_bring_is_known(kind):
    """No report, page or engine comes in by way of a model."""
    own = ["framework.training.optimizer"]
    own += [f"framework.models.{file.stem}" for file in _models() if file.stem != "__init__"]
    if kind == "run":
        steps = "quantize distil layers low_rank movement prune structured tune vocabulary"
        own += [f"framework.compression.{name}" for name in steps.split()]
    brought = sources.brought(kind, own)
    known = (*sources.PARTS, *sources.SOURCES["run"].modules)
    assert {name for name in brought if not sources.is_under(name, known)} == set()
    for name in {*sources.PARTS} - ({"framework.compression"} if kind != "run" else set()):
        assert any(sources.is_under(each, [name]) for each in brought), name


def _models() -> list[pathlib.Path]:
    return sorted(pathlib.Path(imports.file_of("framework.models.sasrec")).parent.glob("*.py"))


def test_a_run_is_of_the_code_of_its_own_model():
    sasrec = sources.files("run", walks())
    hstu = sources.files("run", dataclasses.replace(walks(), model=Hstu(width=16)))
    assert {
        "framework.models.sasrec",
        "framework.losses.softmax",
        "framework.training.optimizer",
    } <= set(sasrec)
    assert "framework.models.hstu" in hstu
    assert "framework.models.hstu" not in sasrec
    for kind in ("run", "evaluation", "model"):
        assert not {"framework.report.run", "framework.runs.telemetry"} & set(
            sources.files(kind, walks())
        )
    assert not {"beam.report.page", "beam.engines.run"} & set(
        sources.files("dataset", walks().data)
    )


def test_an_edit_counts_where_it_takes_part_alone(tmp_path, monkeypatch):
    """On a copy of the sources, so that the hash itself is what is asked."""
    for room in ("framework", "beam", "export"):
        shutil.copytree(provenance.ROOT / room, tmp_path / room)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    given = {kind: walks().data if kind == "dataset" else walks() for kind in KINDS}

    def changed_by(module: str) -> set[str]:
        before = {kind: sources.code(kind, part) for kind, part in given.items()}
        with (tmp_path / f"{module.replace('.', '/')}.py").open("a") as file:
            file.write("\n# an edit\n")
        return {kind for kind, part in given.items() if sources.code(kind, part) != before[kind]}

    assert changed_by("framework.report.run") == set()
    assert changed_by("beam.report.tables") == set()
    assert changed_by("framework.page.chart") == set()
    assert changed_by("framework.models.hstu") == set()
    assert changed_by("framework.training.loop") == {"run"}
    assert changed_by("framework.models.parts.transformer") == {"run", "evaluation", "model"}
    assert changed_by("framework.metrics.ranking") == {"run", "evaluation", "model"}
    assert changed_by("export.graph.recommender") == {"model"}
    assert changed_by("beam.steps.split") == {"dataset"}
    assert changed_by("framework.comparison.evaluation") == {"evaluation"}


USER = """
import dataclasses
from podway.framework.models.sasrec import SasRec
import user_layers_of_test_sources

@dataclasses.dataclass(frozen=True)
class Mine(SasRec):
    pass
"""


def test_a_users_file_and_those_beside_it_count(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    here = tmp_path / "a"
    here.mkdir()
    (here / "mine.py").write_text(USER)
    (here / "user_layers_of_test_sources.py").write_text("from user_deep_of_test import X\n")
    (here / "user_deep_of_test.py").write_text("X = 1\n")
    (here / "unrelated.py").write_text("X = 1\n")
    mine = classes.load(here / "mine.py").Mine
    experiment = dataclasses.replace(walks(), model=mine(width=16))
    found = sources.files("run", experiment)
    assert {name for name in found if name.startswith("user:")} == {
        "user:mine",
        "user:user_layers_of_test_sources",
        "user:user_deep_of_test",
    }
    assert {"framework.models.sasrec", "framework.models.parts.transformer"} <= set(found)
    before = {kind: sources.code(kind, experiment) for kind in ("run", "evaluation", "model")}
    (here / "unrelated.py").write_text("X = 2\n")
    assert before == {kind: sources.code(kind, experiment) for kind in before}
    (here / "user_deep_of_test.py").write_text("X = 23\n")
    assert all(sources.code(kind, experiment) != before[kind] for kind in before)
    assert sources.code("dataset", experiment.data) == sources.code("dataset", walks().data)


def test_of_an_installed_package_its_own_modules_count(tmp_path, monkeypatch):
    """What else is installed beside it is not the user's code."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setattr(imports, "installed", lambda: {tmp_path})
    package = tmp_path / "installed_of_test_sources"
    package.mkdir()
    text = USER.replace("user_layers_of_test_sources", "another_of_test_sources")
    (package / "__init__.py").write_text("VERSION = 1\n")
    (package / "model.py").write_text(f"from . import layers\n{text}")
    (package / "layers.py").write_text("X = 1\n")
    (tmp_path / "another_of_test_sources.py").write_text("X = 1\n")
    mine = importlib.import_module("installed_of_test_sources.model").Mine
    found = sources.files("run", dataclasses.replace(walks(), model=mine(width=16)))
    assert {name for name in found if name.startswith("user:")} == {
        "user:installed_of_test_sources",
        "user:installed_of_test_sources.model",
        "user:installed_of_test_sources.layers",
    }


def test_every_config_has_its_sources():
    for name in experiments.names():
        experiment = experiments.load(name)
        files = sources.files("run", experiment)
        module = imports.own(type(experiment.model).__module__)
        assert module == "framework.config" or module in files, name
        assert isinstance(experiment.optimizer, AdamW) == ("framework.training.optimizer" in files)
