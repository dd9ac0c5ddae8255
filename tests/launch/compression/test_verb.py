"""`podway compress` on a small shop: the report holds a model against what it was made from."""

import json

import numpy as np
import pytest
from etils import epath

from podway.export import layout
from podway.export.verification import verify
from podway.export.versions import models_config
from podway.framework import artifact
from podway.framework.error import ConfigError
from podway.launch.board import rows, selection
from podway.launch.compression import measure, report
from podway.launch.follower.follow import Follower
from podway.launch.verbs import compress
from tests.launch import world


def _options(folder, *methods, **others):
    return compress.Compress(
        experiment=world.shop(folder), workdir=str(folder / "w"), method=methods, **others
    )


@pytest.fixture(scope="module")
def made(shop, folder):
    """The folder of the report, and the versions that served before and after."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "in_fresh_process", verify.verify)
        patch.setattr(measure, "CALLS", 3)
        config = layout.server_config(folder / "w")
        before = models_config.served(config, "shop").versions
        compress.compress(_options(folder, "int8"))
        after = models_config.served(config, "shop").versions
    (found,) = (folder / "w" / report.FOLDER / "shop").iterdir()
    return found, before, after


def test_the_report_is_an_artefact_in_three_forms(made):
    folder, _, _ = made
    manifest = artifact.read(folder, report.KIND)
    assert manifest.inputs["run"] == folder.name
    names = {file.path for file in manifest.files}
    assert {"report.json", "report.md", "report.html"} <= names
    assert "int8" in (folder / "report.html").read_text()


def test_the_report_says_what_is_in_the_files(made, folder):
    found = json.loads((made[0] / "report.json").read_text())
    whole, smaller = found["models"]
    assert (whole["step"], smaller["step"]) == ("", "int8")
    for each in (whole, smaller):
        home = layout.models(folder / "w") / "shop" / str(each["version"])
        stored = sum(path.stat().length for path in (home / "variables").iterdir())
        assert each["weights_bytes"] == stored
        assert each["memory_bytes"] > 0
        assert "verified" in each["parity"]
        hour = found["price"]["amount"]
        assert each["cost"] == pytest.approx(1e6 * each["core_ms"] / 3.6e6 * hour / 0.6)
        assert each["core_ms"] > 0
        assert set(each["latency_ms"]) == {"1", "8", "64"}
    quality = smaller["quality"]["ndcg@10"]
    difference = quality["difference"]
    assert np.isclose(quality["value"] - quality["first"], difference["mean"])
    assert difference["low"] <= difference["mean"] <= difference["high"]
    assert any("[" in name for name in smaller["quality"])


def test_the_price_of_an_answer_is_told_with_its_date(made):
    page, text = ((made[0] / f"report.{kind}").read_text() for kind in ("html", "md"))
    for said in ("USD a million", "0.04856 USD", "2026-08-20"):
        assert said in page
        assert said in text


def test_the_board_shows_it(made, folder):
    directory, _, _ = made
    found = json.loads((directory / "report.json").read_text())
    whole, smaller = found["models"]
    table = selection.of_compressions(epath.Path(folder / "w"), rows.linked(folder / "w"))
    (row,) = [row for row in table.rows if row[0].below == directory.name]
    assert row[0].link == f"compressions/shop/{directory.name}/report.html"
    assert (row[2].text, row[3].text) == ("int8", whole["run"])
    assert row[4].text == f"÷ {whole['weights_bytes'] / smaller['weights_bytes']:.2f}"
    name = next(iter(smaller["quality"]))
    difference = smaller["quality"][name]["difference"]
    assert row[6].text == f"{difference['mean']:+.4f}"
    assert row[6].below == f"[{difference['low']:+.4f}, {difference['high']:+.4f}]"


def test_mlflow_has_it_with_a_run_for_each_step(made, folder, address):
    pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'podway[tracking]'")
    from tests.launch.tracking.tracked import ME, runs

    directory, _, _ = made
    watch = Follower(address, str(folder / "w"), ME)
    for _ in range(2):  # told again, it is the same
        watch.take({"tell": [report.FOLDER, str(directory)]})
        assert watch.advance()
    told = runs(address)
    parent = told[f"{report.FOLDER}/shop/{directory.name}"]
    found = json.loads((directory / "report.json").read_text())
    for each in found["models"]:
        run = told[f"{report.FOLDER} part/shop/{directory.name}-{each['run']}"]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.metrics["weights_bytes"] == each["weights_bytes"]
        assert run.data.params["step"] == (each["step"] or "uncompressed")
        assert run.data.tags["podway.model_version"] == str(each["version"])
    assert parent.data.tags["podway.steps"] == "int8"
    assert parent.data.tags["podway.parent_run"] == found["models"][0]["run"]
    whole, smaller = (each["weights_bytes"] for each in found["models"])
    assert np.isclose(parent.data.metrics["weights_ratio"], whole / smaller)


def test_nothing_serves_that_did_not_before(made):
    _, before, after = made
    assert before == after


def test_a_config_without_steps_is_told_how_to_name_some(folder):
    with pytest.raises(ConfigError, match="give --method, such as --method int8"):
        compress.compress(_options(folder))


def test_a_dry_run_makes_nothing(folder, capsys):
    compress.compress(_options(folder, "int8:paths=item/embedding", dry_run=True))
    assert "compress: int8:paths=('item/embedding',), converts" in capsys.readouterr().out


def test_answers_are_compiled_for_one_chip(folder):
    with pytest.raises(ConfigError, match=r"--topology v5e:2x2 has several devices; give one"):
        compress.compress(_options(folder, "int8", topology="v5e:2x2"))
