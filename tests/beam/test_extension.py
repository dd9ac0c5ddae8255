"""Extensions: how they are found, what stops them, and that they can be repeated."""

import json
import os
import signal
import subprocess
import sys

import pytest

from podway.beam import dataset, extension
from podway.beam.error import DataError
from podway.framework import artifact
from podway.framework.artifact import ArtifactError
from podway.framework.error import ConfigError
from tests.beam.conftest import make_data, write_csv
from tests.beam.extending import HERE, USERS, Workplace, same, some_events


def test_later_verbs_find_the_extension_until_there_is_a_rebuild(tmp_path):
    place = Workplace(tmp_path)
    place.add("1.csv", some_events(1, USERS))
    base = place.build()
    assert dataset.directory(place.data, place.workdir) == base
    place.add("2.csv", some_events(2, HERE, 20))
    whole = dataset.directory(place.data, place.workdir)
    extended = place.extend()
    assert whole != extended
    assert dataset.directory(place.data, place.workdir) == extended == place.build()
    assert dataset.extend(place.data, place.workdir, "latest") == (extended, False)
    assert dataset.extend(place.data, place.workdir, base.name) == (extended, False)
    # Killed between its commit and the pointer, it is found again.
    pointer = place.workdir / "datasets" / "small" / "extensions" / f"{whole.name}.json"
    assert json.loads(pointer.read_text()) == {"version": extended.name}
    for since in ("latest", base.name):
        pointer.unlink()
        assert dataset.extend(place.data, place.workdir, since) == (extended, False)
        assert dataset.directory(place.data, place.workdir) == extended
    rebuilt = place.rebuild()
    os.rename(rebuilt, whole)
    assert dataset.directory(place.data, place.workdir) == whole
    # Equal examples in other ids: not the same dataset.
    assert rebuilt.name == whole.name


def _fails(place: Workplace, error: type, message: str, since: str = "latest", **fields) -> None:
    before = place.left()
    data = make_data(place.data.path, **fields) if fields else place.data
    with pytest.raises(error, match=message) as caught:
        dataset.extend(data, place.workdir, since)
    assert "\n" not in str(caught.value)
    assert place.left() == before


def test_what_cannot_be_extended_is_one_sentence_and_leaves_nothing(tmp_path):
    place = Workplace(tmp_path)
    first = place.add("1.csv", some_events(1, USERS))
    _fails(place, DataError, "there is no dataset in .*small to extend; .* without --since")
    base = place.build()
    assert dataset.extend(place.data, place.workdir, "latest") == (base, False)
    place.add("2.csv", some_events(2, HERE, 20))
    _fails(place, ArtifactError, "nope is no committed dataset", since="nope")
    message = r"data\.min_user_events is 3 here and 1 there, in .*; an extension needs the same"
    _fails(place, ConfigError, message, min_user_events=3)
    text = first.read_text()
    first.write_text(text.replace("u1,", "u2,"))
    _fails(place, DataError, r"1\.csv was changed since dataset .* build the dataset anew, without")
    first.rename(tmp_path / "1.csv")
    _fails(place, DataError, r"1\.csv is no longer there since dataset")
    first.write_text(text)
    (place.raw / "2.csv").write_text("user,item,time\n,,\n")
    before = place.left()
    with pytest.raises(DataError, match=r"^1 of 1 rows .*missing.*--dataset [0-9a-f-]{21}` shows"):
        place.extend()
    assert {name for name in place.left() if not name.startswith("_rejected")} == before
    (base / "test" / "part-00001-of-00002.array_record").unlink()
    _fails(place, ArtifactError, "part-00001.* is missing; the manifest lists it")


def test_a_dataset_that_keeps_nothing_cannot_be_extended(tmp_path):
    place = Workplace(tmp_path, extendable=False)
    place.add("1.csv", some_events(1, USERS))
    base = place.build()
    assert not (base / "events").exists()
    assert not (base / "values").exists()
    place.add("2.csv", some_events(2, HERE, 20))
    _fails(place, ConfigError, "keeps nothing to extend it by.* data.extendable = True")


KILLED = """
import os, signal, sys
{imported}
from podway.framework import artifact
{patch}
from podway.beam import dataset
from tests.beam.conftest import make_data
dataset.extend(make_data(sys.argv[1]), sys.argv[2], "latest")
"""
KILL = "lambda *given, **named: os.kill(os.getpid(), signal.SIGKILL)"
POINTS = {
    "writing": ("from podway.beam.steps import write", f"write.Write.process = {KILL}"),
    "committed, not published": ("", f"artifact.publish = {KILL}"),
    "published, not pointed to": ("from podway.beam import place", f"place.point = {KILL}"),
}


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_it_can_be_repeated(tmp_path, point):
    place = Workplace(tmp_path)
    place.add("1.csv", some_events(1, USERS))
    place.build()
    place.add("2.csv", some_events(2, HERE, 20))
    imported, patch = POINTS[point]
    script = KILLED.format(imported=imported, patch=patch)
    arguments = [sys.executable, "-c", script, str(place.data.path), str(place.workdir)]
    done = subprocess.run(arguments, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    published = point.startswith("published")
    committed = [name for name in place.left() if not name.startswith("_")]
    assert len(committed) == 1 + published
    directory, fresh = dataset.extend(place.data, place.workdir, "latest")
    assert fresh != published
    assert dataset.directory(place.data, place.workdir) == directory
    same(directory, place.rebuild())


def test_an_error_in_the_pipeline_leaves_the_base_alone(tmp_path, monkeypatch):
    place = Workplace(tmp_path)
    place.add("1.csv", some_events(1, USERS))
    base = place.build()
    place.add("2.csv", some_events(2, HERE, 20))
    before = place.left()
    with monkeypatch.context() as patch:
        patch.setattr(extension, "references", lambda chosen: 1 / 0)
        with pytest.raises(Exception, match="division"):
            place.extend()
    assert place.left() == before
    artifact.read(base, "dataset")
    same(place.extend(), place.rebuild())


CONFIG = """
import dataclasses
from podway.configs import movielens_sasrec
from podway.framework.config import Export
from tests.beam.conftest import make_data

def experiment():
    data = make_data({path!r})
    return dataclasses.replace(movielens_sasrec.experiment(), data=data, export=Export())
"""


@pytest.mark.slow
def test_on_a_bucket_by_the_command(beam_store, tmp_path):
    home = beam_store.bucket()
    (tmp_path / "small.py").write_text(CONFIG.format(path=f"{home}/raw/*.csv"))

    def add(name: str, events: list) -> None:
        beam_store.put(f"{home}/raw/{name}", write_csv(tmp_path / name, events).read_bytes())

    def podway(*options: str) -> str:
        arguments = ["data", str(tmp_path / "small.py"), "--workdir", f"{home}/w", *options]
        done = beam_store.run("-m", "podway.launch.cli", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    add("1.csv", some_events(1, USERS))
    podway()
    user = HERE[0]
    add("2.csv", [(user, "new", 60), (user, "i1", 61), (user, "i1", 62)])
    printed = podway("--since", "latest")
    assert "1  of 2 buckets of users written anew" in printed
    assert "\n                             3  new rows\n" in printed
    assert "\n                             1  new items\n" in printed
    assert "data: nothing new:" in podway("--since", "latest")
    # Later verbs find it, and read what it refers to.
    extended = podway().removeprefix("data: up to date: ").strip()
    assert f"data: extended: {extended}\n" in printed
    script = "import sys; from tests.beam.engines.test_gcs import batch_hash, Dataset;"
    read = beam_store.run("-c", f"{script} batch_hash(Dataset.open(sys.argv[1]))", extended)
    assert read.returncode == 0, read.stderr
