import json
import pathlib

import pytest

from tests.framework.committer import FILES
from tests.gcs import Store

COMMITTER = "tests.framework.committer"
READ = "import sys; from podway.framework import artifact; artifact.read(sys.argv[1], 'dataset')"


@pytest.fixture
def target(strict_store: Store) -> str:
    return f"{strict_store.bucket()}/w/datasets/n/v"


def _start(store: Store, target: str, **options):
    return store.start("-m", COMMITTER, target, json.dumps({"rows": "rows", **options}))


def _commit(store: Store, target: str, **options) -> str:
    process = _start(store, target, **options)
    out, err = process.communicate(timeout=120)
    assert process.returncode == (-9 if options.get("kill_at") else 0), err
    return out.strip()


def _is_whole(store: Store, target: str) -> None:
    """Committed, readable, and nothing beside it."""
    found = store.run("-c", READ, target)
    assert found.returncode == 0, found.stderr
    above = target.rpartition("/")[0]
    assert store.names(above) == sorted(f"v/{file}" for file in (*FILES, "manifest.json"))


@pytest.mark.parametrize("point", ["publish", "manifest"])
def test_of_two_racing_runs_one_commits(strict_store, target, tmp_path, point):
    wait = {"wait_at": point, "barrier": str(tmp_path)}
    racers = [_start(strict_store, target, name=name, **wait) for name in "ab"]
    found = sorted(racer.communicate(timeout=120)[0].strip() for racer in racers)
    assert found == ["committed", f"{target} was committed by somebody else meanwhile"]
    _is_whole(strict_store, target)


@pytest.mark.parametrize("point", ["publish", "copy", "manifest"])
def test_a_killed_run_leaves_nothing_committed_and_can_be_repeated(strict_store, target, point):
    _commit(strict_store, target, kill_at=point)
    names = strict_store.names(target)
    assert "manifest.json" not in names
    assert bool(names) == (point in ("copy", "manifest"))
    assert _commit(strict_store, target) == "committed"
    found = strict_store.run("-c", READ, target)
    assert found.returncode == 0, found.stderr


def test_killed_after_the_manifest_it_is_committed(strict_store, target):
    _commit(strict_store, target, kill_at="done")
    assert "somebody else" in _commit(strict_store, target)
    assert strict_store.run("-c", READ, target).returncode == 0


def test_what_a_killed_run_left_must_be_equal(strict_store, target):
    _commit(strict_store, target, kill_at="copy", rows="other")
    (left,) = strict_store.names(target)
    found = _commit(strict_store, target)
    assert found.startswith(f"{target}/{left} is there, uncommitted and not what this run made")
    # Older than LEFTOVER_DAYS it is replaced.
    old = "from podway.framework import artifact; artifact.LEFTOVER_DAYS = -1; "
    script = (
        f"{old}import sys; from tests.framework import committer; committer.main(*sys.argv[1:])"
    )
    found = strict_store.run("-c", script, target, '{"rows": "rows"}')
    assert found.stdout.strip() == "committed", found.stderr
    _is_whole(strict_store, target)


def test_a_stage_published_twice_is_no_race(strict_store, target):
    """As when a worker's publication succeeded, and the worker died before it could say so."""
    script = """
import sys
from podway.framework import artifact
from tests.framework import committer
kept, artifact.discard = artifact.discard, lambda stage: None
stage = artifact.stage_for(sys.argv[1])
for file in committer.FILES:
    (stage / file).write_text(file)
committer.commit(stage)
artifact.publish(stage, sys.argv[1])
artifact.discard = kept
artifact.publish(stage, sys.argv[1])
"""
    found = strict_store.run("-c", script, target)
    assert found.returncode == 0, found.stderr
    _is_whole(strict_store, target)


def test_a_bucket_that_is_not_there(strict_store):
    found = _commit(strict_store, "gs://no-such-bucket/w/v")
    assert found == "gs://no-such-bucket/w/v: there is no bucket gs://no-such-bucket"
    assert "no-such-bucket" not in [b.name for b in strict_store.client().list_buckets()]


def test_a_store_that_does_not_answer(strict_store, tmp_path: pathlib.Path):
    script = """
import sys
from google.auth import credentials
from google.cloud import storage
from podway.framework import artifact
try:
    artifact.stage_for("gs://b/w/v")
except OSError as error:
    print(error)
"""
    # Credentials that cannot be read: neither a traceback of Google's, nor a wait.
    key = tmp_path / "key.json"
    key.write_text("{}")
    environment = {"STORAGE_EMULATOR_HOST": "", "GOOGLE_APPLICATION_CREDENTIALS": str(key)}
    found = strict_store.run("-c", script, **environment)
    assert found.stdout.startswith("Google Cloud Storage: "), found.stderr
