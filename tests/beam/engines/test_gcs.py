"""The data stage on gs://: raw data, what is being written, and the dataset."""

import pathlib
import re

import pytest

from podway.beam import dataset, overview
from podway.framework import artifact
from podway.framework.config import Data
from podway.framework.input.batches import Dataset, TrainBatches
from tests.beam.conftest import make_data, some_events, write_csv
from tests.gcs import Store

CONFIG = """
import dataclasses
from podway.configs import movielens_sasrec
from podway.framework.config import Csv, Data, Export

def experiment():
    data = Data(name="small", path={path!r}, format=Csv(), shards=2, max_rejected=0.1,
                min_user_events=1, min_item_events=1)
    return dataclasses.replace(movielens_sasrec.experiment(), data=data, export=Export())
"""

COMMANDS = """
import sys
from podway.beam import dataset
from podway.framework.input.batches import Dataset
from podway.launch import cli
from podway.launch import experiments
from tests.beam.engines.test_gcs import batch_hash
config, workdir = sys.argv[1:]
cli.main(["data", config, "--workdir", workdir])
cli.main(["rejected", config, "--workdir", workdir])
directory = dataset.directory(experiments.load(config).data, workdir)
print("batch", batch_hash(Dataset.open(directory)))
"""


def batch_hash(opened: Dataset) -> int:
    """Stands for the first batch of training."""
    lengths = {"user": 1, "item": 20}
    batches = TrainBatches(opened, lengths, batch_size=16, steps=1, seed=3, window=2)
    return hash(tuple(tuple(array.flatten().tolist()) for array in batches[0].values()))


@pytest.fixture
def raw(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two files, the second with a row to be rejected."""
    folder = tmp_path / "raw"
    folder.mkdir()
    events = some_events()
    write_csv(folder / "1.csv", events[:200])
    with write_csv(folder / "2.csv", events[200:]).open("a") as file:
        file.write(",i0,5\n")
    return folder


def _bucket(store: Store, raw: pathlib.Path) -> tuple[str, str]:
    """A bucket with the raw files, and the file of a config that reads them."""
    bucket = store.bucket()
    for file in raw.iterdir():
        store.put(f"{bucket}/raw/{file.name}", file.read_bytes())
    config = raw.parent / "small.py"
    config.write_text(CONFIG.format(path=f"{bucket}/raw/*.csv"))
    return bucket, str(config)


def _datasets(store: Store, bucket: str) -> dict[str, list[str]]:
    """Directory below datasets/small/ → its files."""
    found: dict[str, list[str]] = {}
    for name in store.names(f"{bucket}/w/datasets/small"):
        directory, _, file = name.partition("/")
        found.setdefault(directory, []).append(file)
    return found


def test_from_a_bucket_to_a_bucket(beam_store, raw, tmp_path):
    bucket, config = _bucket(beam_store, raw)
    local = make_data(raw / "*.csv", max_rejected=0.1)
    built = dataset.build(local, tmp_path / "w")
    expected = artifact.read(built, "dataset")

    done = beam_store.run("-c", COMMANDS, config, f"{bucket}/w")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert f"fingerprint {overview.fingerprint(expected)}" in words
    assert f"missing user: 1 {bucket}/raw/2.csv, row 201, missing user: " in words
    assert words.endswith(f"batch {batch_hash(Dataset.open(built))}")
    ((_, files),) = _datasets(beam_store, bucket).items()
    assert sorted(files) == sorted([*(file.path for file in expected.files), "manifest.json"])


def _stage(store: Store, point: str, folder: str, config: str, bucket: str):
    return store.start("-m", "tests.beam.on_gcs", point, folder, config, "--workdir", f"{bucket}/w")


@pytest.mark.slow
def test_killed_at_any_point_nothing_is_committed_and_it_can_be_repeated(strict_store, raw):
    bucket, config = _bucket(strict_store, raw)
    for point in ("read", "write", "copy", "manifest"):
        process = _stage(strict_store, point, "-", config, bucket)
        _, err = process.communicate(timeout=300)
        assert process.returncode == -9, err
        left = _datasets(strict_store, bucket)
        assert not [name for name in left if "manifest.json" in left[name] and name[0] != "_"]
        # What lies at the dataset's place, if anything, has no manifest: nobody reads it.
        assert any(name[0] != "_" for name in left) == (point in ("copy", "manifest")), left
    process = _stage(strict_store, "none", "-", config, bucket)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert re.search(r"rejected +1 ", out)
    (version,) = [name for name in _datasets(strict_store, bucket) if name[0] != "_"]
    script = (
        "import sys; from podway.framework import artifact; artifact.read(sys.argv[1], 'dataset')"
    )
    read = strict_store.run("-c", script, f"{bucket}/w/datasets/small/{version}")
    assert read.returncode == 0, read.stderr


@pytest.mark.slow
def test_of_two_racing_runs_one_builds_the_dataset(strict_store, raw, tmp_path):
    bucket, config = _bucket(strict_store, raw)
    folder = tmp_path / "barrier"
    folder.mkdir()
    racers = [_stage(strict_store, "manifest", str(folder), config, bucket) for _ in range(2)]
    found = [racer.communicate(timeout=300) for racer in racers]
    assert sorted(racer.returncode for racer in racers) == [0, 1], found
    (_, err) = found[[racer.returncode for racer in racers].index(1)]
    assert err.strip().endswith("was committed by somebody else meanwhile")
    ((version, files),) = _datasets(strict_store, bucket).items()
    assert not version.startswith("_")
    assert "manifest.json" in files


def test_without_the_extra(tmp_path):
    """A missing package is named with the extra that brings it."""
    store = Store("http://127.0.0.1:1")  # nothing is asked of it
    for package in ("gcsfs", "fsspec"):
        folder = tmp_path / package
        folder.mkdir()
        (folder / f"{package}.py").write_text(
            f"raise ModuleNotFoundError('none', name='{package}')\n"
        )
        arguments = ["-m", "podway.launch.cli", "data", "movielens_sasrec", "--workdir", "gs://b/w"]
        done = store.run(*arguments, PYTHONPATH=str(folder))
        assert done.returncode == 1
        assert done.stderr.strip().endswith(
            f"{package} is not installed; pip install 'podway[gcs]' brings it"
        )


def test_small_config_is_what_the_local_build_uses(raw):
    """The fingerprints are compared for one and the same config."""
    namespace: dict = {}
    exec(CONFIG.format(path=str(raw / "*.csv")), namespace)
    data: Data = namespace["experiment"]().data
    assert data == make_data(raw / "*.csv", max_rejected=0.1)
