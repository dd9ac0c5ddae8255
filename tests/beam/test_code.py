"""Datasets that other code built."""

import json

import pytest

from podway.beam import dataset
from podway.framework import artifact
from podway.framework.artifact.upgrade import CodeChanged
from podway.framework.code import sources
from tests.beam.extending import HERE, USERS, Workplace, some_events


@pytest.fixture
def code(monkeypatch):
    def become(value: str) -> None:
        monkeypatch.setattr(sources, "code", lambda kind, part: value * 16)

    become("a")
    return become


def test_a_dataset_of_other_code_is_used_or_built_anew(tmp_path, code):
    place = Workplace(tmp_path)
    place.add("1.csv", some_events(1, USERS))
    old = place.build()
    code("b")
    with pytest.raises(CodeChanged, match=f"the dataset {old} .*--code keep .*--code new"):
        place.build()
    assert place.left() == {old.name}
    assert dataset.directory(place.data, place.workdir, look=True) == old
    assert dataset.build(place.data, place.workdir, choice="keep") == old == place.build()
    assert artifact.read(old, "dataset").details["code"] == ["a" * 16, "b" * 16]
    code("c")
    new = dataset.build(place.data, place.workdir, choice="new")
    assert artifact.identity_of(new.name) == artifact.identity_of(old.name)
    assert new != old
    assert place.build() == new
    place.add("2.csv", some_events(2, HERE, 20))
    code("d")
    assert dataset.directory(place.data, place.workdir) not in (old, new), "other raw files"


def test_an_extension_of_other_code_stands_for_the_whole_when_it_is_kept(tmp_path, code):
    place = Workplace(tmp_path)
    place.add("1.csv", some_events(1, USERS))
    base = place.build()
    place.add("2.csv", some_events(2, HERE, 20))
    extended = place.extend()
    code("b")
    assert dataset.extend(place.data, place.workdir, "latest") == (extended, False)
    with pytest.raises(CodeChanged, match=str(extended)):
        dataset.directory(place.data, place.workdir)
    with pytest.raises(CodeChanged, match=str(extended)):
        dataset.extend(place.data, place.workdir, base.name)
    before = place.left()
    kept = dataset.extend(place.data, place.workdir, base.name, choice="keep")
    assert kept == (extended, False)
    assert place.left() == before
    assert dataset.directory(place.data, place.workdir) == extended
    pointers = place.workdir / "datasets" / "small" / "extensions"
    assert {json.loads(path.read_text())["version"] for path in pointers.iterdir()} == {
        extended.name
    }
    anew, fresh = dataset.extend(place.data, place.workdir, base.name, choice="new")
    assert fresh
    assert anew != extended
    assert dataset.directory(place.data, place.workdir) == anew
