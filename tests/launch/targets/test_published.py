import json

import pytest

from podway.framework.error import PodwayError
from podway.launch.targets import published
from tests.launch.targets import models


@pytest.fixture
def workdir(tmp_path):
    models.add(tmp_path, "shop", size=1000)
    models.add(tmp_path, "shop", size=3000)
    return tmp_path


def versions(found) -> dict[str, int]:
    return {track: each.version for track, each in found.items()}


def test_without_labels_the_newest_is_stable(workdir):
    assert versions(published.tracks("shop", str(workdir))) == {"stable": 2}


def test_labels_are_the_tracks(workdir):
    models.label(workdir, "shop", 1, "stable")
    models.label(workdir, "shop", 2, "canary")
    assert versions(published.tracks("shop", str(workdir))) == {"stable": 1, "canary": 2}
    models.label(workdir, "shop", 2, "stable")
    assert versions(published.tracks("shop", str(workdir))) == {"stable": 2}  # both labels at 2


def test_numbers_come_before_labels(workdir):
    models.label(workdir, "shop", 2, "stable")
    assert versions(published.tracks("shop", str(workdir), 1, 2)) == {"stable": 1, "canary": 2}


def test_what_a_server_loads_counts(workdir):
    """The golden requests beside the SavedModel are not read by servers."""
    small, large = (published.read("shop", version, str(workdir)) for version in (1, 2))
    assert (small.bytes, large.bytes) == (1000, 3000)
    assert large.memory > small.memory > published.GIB
    assert small.batch_buckets == (1, 8, 64)
    assert small.ragged


def test_models_of_rows_are_not_ragged(workdir):
    number = models.add(workdir, "rows", models.ROWS)
    assert not published.read("rows", number, str(workdir)).ragged


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stable": 7}, "the published versions are: 1, 2"),
        ({"stable": 2, "canary": 2}, "which is the stable version"),
    ],
)
def test_versions_that_cannot_be(workdir, given, message):
    with pytest.raises(PodwayError, match=message):
        published.tracks("shop", str(workdir), **given)


def test_a_version_that_was_never_verified(workdir):
    file = workdir / "models/shop/2/assets.extra/export.json"
    manifest = json.loads(file.read_text())
    del manifest["details"]["verified"]
    file.write_text(json.dumps(manifest))
    with pytest.raises(PodwayError, match="never verified"):
        published.tracks("shop", str(workdir))


def test_a_model_that_is_not_there(workdir):
    with pytest.raises(PodwayError, match="models there: shop"):
        published.tracks("nobody", str(workdir))
