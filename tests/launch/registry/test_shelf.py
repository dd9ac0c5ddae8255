"""MLflow's registry as a copy of a workdir: filled, followed, lost, written anew."""

import dataclasses
import json
import pathlib
import shutil

import pytest

from podway.export.error import ExportError
from podway.framework.error import PodwayError
from podway.launch import cli
from podway.launch.registry import record

pytest.importorskip("mlflow", reason="mlflow is missing: pip install 'podway[tracking]'")

from tests.launch.tracking.tracked import client, rows


@pytest.fixture
def workdir(shop, tmp_path) -> pathlib.Path:
    """The shop's, with a version 3 beside its version 1: 2 was removed."""
    target = tmp_path / "w"
    shutil.copytree(shop.run.parent.parent.parent, target)
    shutil.copytree(target / "models" / "shop" / "1", target / "models" / "shop" / "3")
    (target / "models" / "shop" / "highest_version").write_text("3\n")
    return target


def rebuilt(workdir, address) -> dict:
    """What the registry holds: versions with what is said of them, and the names of some."""
    cli.main(["registry", "rebuild", "--workdir", str(workdir), "--uri", address.uri])
    ask = client(address)
    model = ask.get_registered_model("shop")
    found = ask.search_model_versions("name='shop'")
    return {
        "aliases": {name: int(number) for name, number in model.aliases.items()},
        "versions": {int(each.version): each.tags for each in found},
        "runs": {
            int(each.version): ask.get_run(each.run_id).data.tags["podway.key"] for each in found
        },
        "sources": {int(each.version): each.source for each in found},
    }


def test_numbers_tags_and_names_are_those_of_the_workdir(workdir, address, capsys):
    found = rebuilt(workdir, address)
    assert set(found["versions"]) == {1, 3}
    (one, three) = record.versions("shop", workdir)
    assert found["aliases"] == {"champion": 1}
    tags = found["versions"][3]
    assert tags["podway.artefact"] == three.artefact
    assert tags["podway.files"] == three.files == one.files
    assert tags["podway.input.run"] == one.inputs["run"]
    assert tags["podway.input.dataset"] == one.inputs["dataset"]
    assert float(tags["podway.test.hr_at_10"]) == pytest.approx(one.metrics["hr@10"], rel=1e-5)
    assert found["runs"] == dict.fromkeys((1, 3), f"run/shop/{one.inputs['run']}")
    assert found["sources"][3] == str(workdir / "models" / "shop" / "3")
    assert "2 versions in sqlite:///" in capsys.readouterr().out
    before = rows(address)
    rebuilt(workdir, address)
    assert rows(address) == before


def test_names_move_with_the_labels_and_those_of_others_stay(workdir, address):
    rebuilt(workdir, address)
    client(address).set_registered_model_alias("shop", "mine", "1")
    move = ["promote", "shop", "3", "--label", "canary", "--workdir", str(workdir)]
    cli.main(move)  # asks for the version
    cli.main(move)
    assert rebuilt(workdir, address)["aliases"] == {
        "canary": 3,
        "challenger": 3,
        "champion": 1,
        "mine": 1,
    }
    cli.main(["rollback", "shop", "--label", "canary", "--workdir", str(workdir)])
    cli.main(["promote", "shop", "3", "--workdir", str(workdir)])
    assert rebuilt(workdir, address)["aliases"] == {"champion": 3, "mine": 1}


def test_a_lost_registry_is_written_anew_as_it_was(workdir, address, tables, tmp_path):
    cli.main(["promote", "shop", "3", "--workdir", str(workdir)])
    before = rebuilt(workdir, address)
    other = dataclasses.replace(address, uri=f"sqlite:///{tmp_path}/anew.db")
    shutil.copy(tables, tmp_path / "anew.db")
    pathlib.Path(address.uri.removeprefix("sqlite:///")).unlink()
    assert rebuilt(workdir, other) == before


def test_two_models_of_one_name_are_not_mixed_up(workdir, address):
    rebuilt(workdir, address)
    manifest = workdir / "models" / "shop" / "3" / "assets.extra" / "export.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(told | {"version": "0123456789ab-01234567"}))
    from podway.launch.follower import tell
    from podway.launch.tracking.database import Database

    with pytest.raises(PodwayError, match=r"version 3 of the model shop in .* is another one"):
        tell.tell(Database(address, workdir), "registry", record.layout.models(workdir) / "shop")


def test_lists_and_shows_without_a_database(workdir, capsys):
    cli.main(["registry", "--workdir", str(workdir)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["model", "versions", "champion", "challenger", "labels", "newest"]
    assert lines[1].split()[:5] == ["shop", "2", "1", "–", "–"]
    cli.main(["registry", "show", "shop", "--workdir", str(workdir)])
    assert len(capsys.readouterr().out.splitlines()) == 3
    options = ["--version", "champion", "--workdir", str(workdir), "--json"]
    cli.main(["registry", "show", "shop", *options])
    (shown,) = json.loads(capsys.readouterr().out)
    assert (shown["number"], shown["aliases"]) == (1, ["champion"])
    assert shown["metrics"]["hr@10"] > 0


def test_what_is_not_there_is_said(workdir, tmp_path, capsys):
    with pytest.raises(PodwayError, match=r"there are: 1, 3, champion"):
        record.find("shop", "2", workdir)
    with pytest.raises(ExportError, match="models there: shop"):
        record.versions("shoe", workdir)
    with pytest.raises(SystemExit):
        cli.main(["registry", "--workdir", str(tmp_path / "none")])
    assert "no model is published in --workdir" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["latest", "LATEST", "v3", "V12", "a b", ""])
def test_labels_that_a_registry_does_not_take_as_names(name):
    from mlflow.utils import validation

    assert not record.is_alias(name)
    assert record.is_alias(f"{name}-x".replace(" ", ""))
    with pytest.raises(Exception, match="alias"):
        validation._validate_model_alias_name(name)
        validation._validate_model_alias_name_reserved(name)
