"""From a served version to raw files, from a raw file to what saw it, and how it was made."""

import dataclasses
import hashlib
import json
import pathlib
import shutil

import pytest

import podway
from podway.export.verification import verify
from podway.framework.error import PodwayError
from podway.launch import cli
from podway.launch.lineage import graph, page, read, recipe, tree
from podway.launch.lineage.graph import Edge, Graph, Node
from tests.launch import world


@pytest.fixture
def workdir(shop) -> pathlib.Path:
    return shop.run.parent.parent.parent


def said(capsys, *command: str) -> str:
    cli.main(list(command))
    return capsys.readouterr().out


def test_a_served_version_leads_to_its_raw_files_and_their_hashes(shop, workdir, folder, capsys):
    lines = said(capsys, "lineage", "shop:champion", "--workdir", str(workdir)).splitlines()
    assert lines[0].startswith("model shop 1  names champion, served yes")
    assert lines[1].startswith(f"└─ run shop {shop.run.name}  model SasRec")
    assert lines[2].startswith(f"   └─ dataset shop {shop.dataset.name}")
    digest = hashlib.sha256((folder / "events.csv").read_bytes()).hexdigest()
    assert lines[3] == f"      ├─ raw file {folder}/events.csv  sha256 {digest[:16]}…"
    table = hashlib.sha256((folder / "items.csv").read_bytes()).hexdigest()
    assert lines[4] == f"      └─ side table: raw file {folder}/items.csv  sha256 {table[:16]}…"
    assert len(lines) == 5


def test_a_raw_file_leads_to_every_model_that_saw_it(shop, workdir, folder, capsys, monkeypatch):
    told = said(capsys, "lineage", f"{folder}/events.csv", "--workdir", str(workdir), "--json")
    found = json.loads(told)
    assert found["down"]
    kinds = [node["kind"] for node in found["nodes"]]
    assert kinds.count("dataset") >= 1
    assert {node["place"] for node in found["nodes"]} >= {
        str(shop.model),
        str(shop.run),
        str(shop.evaluation),
        str(shop.dataset),
    }
    monkeypatch.chdir(folder)
    again = said(capsys, "lineage", "events.csv", "--workdir", str(workdir), "--json")
    assert json.loads(again)["nodes"] == found["nodes"]
    digest = found["of"][0].split()[-1][:12]
    assert json.loads(said(capsys, "lineage", digest, "--workdir", str(workdir), "--json")) == found


def test_a_side_table_leads_to_every_model_that_saw_it(shop, workdir, folder, capsys):
    """By its path, and by its content, as any raw file."""
    digest = hashlib.sha256((folder / "items.csv").read_bytes()).hexdigest()
    for wanted in (f"{folder}/items.csv", digest):
        told = said(capsys, "lineage", wanted, "--workdir", str(workdir), "--json")
        places = {node["place"] for node in json.loads(told)["nodes"]}
        assert places >= {str(shop.model), str(shop.run), str(shop.dataset)}


def test_a_dataset_of_earlier_days_names_its_side_tables_all_the_same(shop, workdir, tmp_path):
    shutil.copytree(workdir / "datasets", tmp_path / "datasets")
    shutil.copytree(workdir / "runs", tmp_path / "runs")
    manifest = tmp_path / "datasets" / "shop" / shop.dataset.name / "manifest.json"
    content = json.loads(manifest.read_text())
    del content["details"]["side_tables"]
    manifest.write_text(json.dumps(content))
    found = read.graph(tmp_path)
    sides = [edge.source for edge in found.edges if edge.how == "side table"]
    assert any(found.nodes[each].version == "" for each in sides)


def test_a_folder_and_a_version_name_an_artefact(shop, workdir, capsys):
    by_folder = said(capsys, "lineage", str(shop.run), "--workdir", str(workdir))
    by_version = said(capsys, "lineage", shop.run.name, "--workdir", str(workdir))
    by_beginning = said(capsys, "lineage", shop.run.name[:14], "--workdir", str(workdir))
    assert by_folder == by_version == by_beginning
    assert by_folder.startswith("run shop")
    down = said(capsys, "lineage", str(shop.run), "--down", "--workdir", str(workdir))
    assert "model shop 1" in down
    assert "raw file" not in down


def test_what_is_gone_is_named_all_the_same(shop, workdir, tmp_path):
    shutil.copytree(workdir / "models", tmp_path / "models")
    found = read.graph(tmp_path)
    run = found.nodes[f"run shop {shop.run.name}"]
    assert not run.there
    assert "(no longer there)" in tree.title(run)


def test_the_page_shows_what_the_tree_does_and_loads_nothing(shop, workdir, folder, tmp_path):
    cli.main(["lineage", "shop:1", "--workdir", str(workdir), "--html", f"{tmp_path}/l.html"])
    text = (tmp_path / "l.html").read_text()
    for name in ("model shop", "run shop", "dataset shop", shop.run.name, "events.csv", "champion"):
        assert name in text
    assert text.count("<rect") == 5
    assert text.count('<path class="c') == 4
    assert "report.html" in text


def _many(files: int) -> tuple[Graph, Node]:
    data = Node("dataset", "d", "1", "w/d", True)
    raw = [Node("raw file", f"f{n}", f"{n}", f"f{n}", True) for n in range(files)]
    edges = tuple(Edge(data.id, each.id, "raw file") for each in raw)
    return Graph({each.id: each for each in (data, *raw)}, edges), data


def test_of_many_raw_files_some_are_shown_and_counted():
    found, data = _many(1000)
    lines = list(tree.lines(found, data, down=False))
    assert len(lines) == tree.SHOWN + 2
    assert lines[-1] == f"└─ … and {1000 - tree.SHOWN} more raw files"
    text = page.page(found, [data], pathlib.Path("."), down=False)
    assert text.count("<rect") == tree.SHOWN + 1
    assert f"{1000 - tree.SHOWN} more raw files are in the table" in text


def test_walks_follow_every_path_and_end_in_circles():
    nodes = {name: Node("run", name, "", name, True) for name in "abcd"}
    edges = tuple(Edge(f"run {a}", f"run {b}", "parent") for a, b in ("ab", "bc", "ca", "dc"))
    whole = Graph({node.id: node for node in nodes.values()}, edges)
    assert set(graph.around(whole, ["run d"], down=False).nodes) == {
        f"run {name}" for name in "dcab"
    }
    assert set(graph.around(whole, ["run d"], down=True).nodes) == {"run d"}
    lines = list(tree.lines(whole, nodes["a"], down=False))
    assert lines[-1].endswith("(as above)")


def test_what_may_be_several_or_is_none_is_refused():
    nodes = [Node("run", "a", "123456-1", "w/1", True), Node("run", "a", "123456-2", "w/2", True)]
    whole = Graph({node.id: node for node in nodes}, ())
    with pytest.raises(PodwayError, match=r"may be any of w/1, w/2; give its folder"):
        graph.find(whole, "123456")
    with pytest.raises(PodwayError, match="is nothing of this workdir"):
        graph.find(whole, "12345")


def test_a_recipe_says_what_made_it_and_what_has_changed_since(
    shop, workdir, folder, tmp_path, capsys
):
    found = recipe.find("shop", "champion", workdir)
    assert found.problems == ()
    assert found.run.directory == shop.run
    assert found.experiment(found.run).trainer.steps == 30
    told = said(capsys, "reproduce", "shop", "1", "--workdir", str(workdir))
    assert f"podway run {shop.run}/experiment.json --workdir reproduced" in told
    assert "Code and raw data are as they were." in told

    moved = tmp_path / "w"
    shutil.copytree(workdir, moved)
    manifest = moved / "datasets" / "shop" / shop.dataset.name / "manifest.json"
    content = json.loads(manifest.read_text())
    file = content["details"]["raw"][0]
    file["identity"][1] = "0" * 64
    content["details"]["side_tables"][0]["identity"][1] = "2" * 64
    content["inputs"]["raw"] = "1" * 16
    manifest.write_text(json.dumps(content))
    run = moved / "runs" / "shop" / shop.run.name / "manifest.json"
    content = json.loads(run.read_text())
    content["packages"] |= {"jax": "0.0.1", "gone-package": "1"}
    content["code"] = "0" * 16
    run.write_text(json.dumps(content))
    changed = recipe.find("shop", "1", moved)
    problems = "\n".join(changed.problems)
    assert f"raw file {folder}/events.csv has changed" in problems
    assert f"side table {folder}/items.csv has changed" in problems
    assert "with 1 side tables, are not those of the dataset" in problems
    assert "the code that trains it differs: 00000000 then" in problems
    assert ("gone-package", "1", "") in changed.packages
    assert [name for name, *_ in changed.packages].count("jax") == 1
    json.loads(said(capsys, "reproduce", "shop", "1", "--json", "--workdir", str(moved)))

    content = json.loads(manifest.read_text())
    content["details"]["raw"][0]["path"] = str(tmp_path / "none.csv")
    manifest.write_text(json.dumps(content))
    gone = recipe.find("shop", "1", moved).problems
    assert f"raw file {tmp_path}/none.csv is no longer there" in gone

    shutil.rmtree(moved / "runs")
    with pytest.raises(PodwayError, match=r"is no longer there; without its experiment\.json"):
        recipe.find("shop", "1", moved)


def test_options_of_a_config_that_the_run_differs_by():
    assert recipe._option("trainer.steps", 60) == "--trainer.steps 60"
    assert recipe._option("data.name", "a b") == "--data.name 'a b'"
    assert recipe._option("evaluation.cutoffs", [1, 10]) == "--evaluation.cutoffs 1 10"
    assert recipe._option("export.candidate_filter", False) == "--export.no-candidate-filter"


@pytest.mark.slow
def test_a_version_of_a_run_that_goes_on_from_another_is_made_again_as_it_was(
    folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(verify, "in_fresh_process", verify.verify)
    experiment = dataclasses.replace(world.shop(folder), name="again")
    podway.run(experiment, tmp_path / "w", more=(10,))
    first, second = recipe.find("again", "1", tmp_path / "w").runs
    assert second.inputs["parent"] == first.version
    into = ["--into", str(tmp_path / "again"), "--workdir", str(tmp_path / "w")]
    told = said(capsys, "reproduce", "again", "1", "--run", *into)
    assert f"podway train {first.directory}/experiment.json" in told
    table = told[told.index("golden answers") - 2000 :]
    assert "differs" not in told, table
    for what in ("run version", "dataset version", "test metrics", "variables/", "golden answers"):
        assert what in told
    golden = tmp_path / "w" / "models" / "again" / "1" / "assets.extra" / "golden.json"
    golden.write_text("{}")
    with pytest.raises(SystemExit):
        cli.main(["reproduce", "again", "1", "--run", *into])
    caught = capsys.readouterr()
    assert "differs" in caught.out
    assert "is not what" in caught.err
    with pytest.raises(SystemExit):
        same = str(tmp_path / "w")
        cli.main(["reproduce", "again", "1", "--run", "--into", same, "--workdir", same])
    assert "give a folder of its own" in capsys.readouterr().err
