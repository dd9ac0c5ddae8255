"""What a name or a folder stands for."""

import shutil

import pytest

import podway
from podway.launch.loaded import place

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture(scope="module")
def here(shop):
    """The tests of this module share a process, and with it the model."""


def test_every_way_to_name_a_model(shop, folder):
    workdir = folder / "w"
    version, run = shop.model, shop.run
    for what in (version, version.parent, str(version)):
        assert place.find(what).directory == version
    for what in (run, run.parent):
        assert place.find(what).directory == run
    assert place.find("shop", workdir).directory == version
    assert place.find("shop", workdir, version=1).directory == version
    assert place.find("shop", workdir, run="latest").directory == run
    assert place.find("shop", workdir, run=run.name).directory == run
    found = place.find(version)
    assert (found.kind, found.name, found.workdir) == ("model", "shop", workdir)
    assert found.run() == run
    assert found.dataset() == shop.dataset


def test_the_latest_version_is_the_last_number_that_is_whole(shop, tmp_path):
    shutil.copytree(shop.model.parent, tmp_path / "models" / "shop")
    copies = tmp_path / "models" / "shop"
    shutil.copytree(copies / "1", copies / "10")
    shutil.copytree(copies / "1", copies / "9")
    (copies / "11").mkdir()  # being deleted, say
    assert place.find("shop", tmp_path).directory.name == "10"
    with pytest.raises(podway.RequestError, match="no version 11; versions there: 1, 9, 10"):
        place.find("shop", tmp_path, version=11)


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("shp", {}, r"'shp' has no published model and no finished run .*models there:.* shop"),
        ("shop", {"version": 7}, "'shop' has no version 7; versions there: 1"),
        ("shop", {"run": "zzz"}, "there is no run .*zzz"),
        ("shop", {"run": "latest", "version": 1}, "choose one of them"),
        ("w", {}, "is a workdir, not of one model; give a NAME with it as the workdir"),
        ("w/models", {}, "is neither of a run nor of a published model"),
        ("w/nothing", {}, "there is no folder"),
        ("dataset", {}, "is of a dataset, not of a model"),
        ("evaluation", {}, "is of an evaluation, not of a model"),
        ("model", {"version": 2}, "is one version already; leave out the version"),
        ("run", {"run": "latest"}, "is one run already; leave out the run"),
    ],
)
def test_what_is_no_model_is_told_apart(shop, folder, what, options, message):
    known = {name: getattr(shop, name) for name in ("dataset", "evaluation", "model", "run")}
    path = known.get(what, what if what in ("shop", "shp") else folder / what)
    with pytest.raises(podway.RequestError, match=message):
        place.find(path, folder / "w", **options)


def test_a_run_that_is_not_finished_or_lacks_its_dataset_says_so(shop, tmp_path):
    run = tmp_path / "runs" / "shop" / shop.run.name
    shutil.copytree(shop.run, run)
    with pytest.raises(podway.RequestError, match=r"was made of the dataset .* build it again"):
        podway.load(run)
    (run / "manifest.json").unlink()
    with pytest.raises(podway.RequestError, match="is not finished; `podway train`"):
        podway.load(run)
