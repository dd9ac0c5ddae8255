"""Signed versions: what is refused, and that what was checked is what is read."""

import os

import pytest

from podway.export import layout
from podway.export.error import ExportError
from podway.export.signature import signed
from podway.export.signature.minisign import SecretKey
from podway.export.versions import publish
from podway.framework.artifact import ArtifactError
from tests.export.versions.test_publish import MANIFEST, model  # noqa: F401

KEY = SecretKey.new()


@pytest.fixture
def version(model, tmp_path):  # noqa: F811
    return publish.publish(model, name="shop", workdir=tmp_path / "w", key=KEY, **MANIFEST)


def refusal(version, place="shop/1"):
    """What both ways of checking say."""
    with pytest.raises((ExportError, ArtifactError)) as one:
        signed.check(version, place, KEY.public)
    with (
        pytest.raises((ExportError, ArtifactError)) as other,
        signed.copied(version, place, KEY.public),
    ):
        pass
    assert type(one.value) is type(other.value)
    return str(other.value)


def test_a_published_version_is_signed_for_its_place(version):
    assert signed.place(version) == signed.place("/x/shop/0001") == "shop/1"
    signed.check(version, "shop/1", KEY.public)
    assert "holds what was signed as shop/1" in refusal(version, "shop/2")
    assert "holds what was signed as shop/1" in refusal(version, "other/1")


def test_what_was_not_signed_is_refused(version):
    (version / layout.SIGNATURE).unlink()
    assert "shop/1 is not signed: it has no assets.extra/export.json.minisig" in refusal(version)
    (version / layout.MANIFEST).unlink()
    assert "it has no assets.extra/export.json" in refusal(version)


def test_altered_missing_and_added_files_are_refused(version):
    weights = version / "variables" / "variables.index"
    before = weights.read_text()
    weights.write_text(before.upper())
    assert "variables.index was altered" in refusal(version)
    weights.unlink()
    assert "variables.index is missing" in refusal(version)
    weights.write_text(before)
    signed.check(version, "shop/1", KEY.public)
    (version / layout.WARMUP).write_text("requests")
    assert f"holds {layout.WARMUP}, which is not in its signed manifest" in refusal(version)
    (version / layout.WARMUP).unlink()
    manifest = version / layout.MANIFEST
    manifest.write_text(manifest.read_text().replace('"name": "shop"', '"name": "Shop"'))
    assert "altered" in refusal(version)


def test_a_copy_is_what_was_checked_whatever_happens_to_the_folder(version):
    with signed.copied(version, "shop/1", KEY.public) as copy:
        (version / "saved_model.pb").write_text("another graph")
        assert (copy / "saved_model.pb").read_text() == "graph"
        assert os.stat(copy.parent).st_mode & 0o077 == 0
    assert not copy.exists()


def test_what_is_not_listed_is_not_even_copied(version, monkeypatch):
    (version / "huge").write_text("never read")
    monkeypatch.setattr("tempfile.TemporaryDirectory", None)
    assert "holds huge" in refusal(version)
