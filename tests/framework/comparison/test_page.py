"""The pages of an evaluation and of a comparison say what the tables say."""

import dataclasses
import html
import json
import re

import numpy as np
import pytest
from etils import epath

from podway.framework import artifact
from podway.framework.comparison import page
from podway.framework.comparison.runs import evaluate_runs, grouped, report
from podway.framework.models.ials import Ials
from podway.framework.models.popularity import Popularity
from podway.framework.report import artefacts
from podway.framework.report import evaluation as evaluations
from podway.framework.report import run as runs
from podway.framework.runs import records
from podway.framework.training import fitting
from tests.framework.comparison.test_runs import experiment
from tests.framework.conftest import write_dataset
from tests.framework.report.test_run import plain

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    workdir = epath.Path(tmp_path_factory.mktemp("pages"))
    dataset = write_dataset(workdir / "datasets" / "walks" / "walks-1")
    models = [(Popularity(), 0), *((Ials(width=2, epochs=1), seed) for seed in range(2))]
    made = [fitting.fit(experiment(*each), dataset, workdir) for each in models]
    return evaluate_runs(made, workdir)


def test_the_page_of_an_evaluation_says_what_its_table_says(evaluated):
    one = evaluated[1]
    text = (one.evaluation / evaluations.PAGE).read_text()
    table = json.loads((one.evaluation / "table.json").read_text())
    assert [*table] == ["Ials", "popularity", "seq-KNN"]
    for row in table.values():
        for name, cell in row.items():
            if "[" not in name:
                low = f" [{cell['low']:.4f}, {cell['high']:.4f}]" if "low" in cell else ""
                assert f">{cell['value']:.4f}{low}</td>" in text
            elif name.startswith("ndcg@1 ["):
                assert f"{cell['value']:.4f} [{cell['low']:.4f}, {cell['high']:.4f}]" in text
    said = plain(text)
    cell = table["Ials"]["ndcg@1"]
    assert f"ndcg@1, test {cell['value']:.4f}" in said
    assert f"evaluation of run {one.directory.name}" in said
    assert f'href="../../../runs/walks/{one.directory.name}/report.html"' in text
    listed = artifact.read(one.evaluation, "evaluation").files
    assert {"table.html", "table.txt", "samples.json"} <= {file.path for file in listed}


def test_samples_are_what_the_ranks_say(evaluated):
    one = evaluated[1]
    users = json.loads((one.evaluation / artefacts.SAMPLES).read_text())["users"]
    assert 3 <= len(users) <= 6
    hits = 0
    for user in users:
        place = int(user["user"].removeprefix("id ")) - 2  # the users lie in their order
        assert user["rank"] == one.ranks[place]
        assert user["events"] >= len(user["history"]) > 0
        listed = [item["item"] for item in user["list"]]
        assert len(listed) == 5
        assert not set(listed) & {item["item"] for item in user["history"]}
        if user["rank"] <= 5:
            hits += 1
            assert listed[user["rank"] - 1] == user["target"]["item"]
        else:
            assert user["target"]["item"] not in listed
    assert hits >= 3
    assert (np.array([user["rank"] for user in users]) > 5).any()


def test_the_page_of_a_run_is_evaluated_with_it(evaluated):
    one = evaluated[1]
    assert "Not evaluated on the test split yet" in (one.directory / records.PAGE).read_text()
    runs.write(one.directory)
    text = (one.directory / records.PAGE).read_text()
    assert f"{one.metrics['ndcg@1']['value']:.4f}" in text
    assert f'href="../../../evaluations/walks/{one.evaluation.name}/table.html"' in text
    assert "fit_seconds" in text


def test_the_page_of_a_comparison_says_what_is_printed(evaluated, tmp_path):
    groups = grouped(evaluated)
    assert [len(group.runs) for group in groups] == [1, 2]
    page.write(groups, tmp_path / "new" / "compared.html")
    text = (tmp_path / "new" / "compared.html").read_text()
    said = html.unescape(plain(text))
    printed = report(groups)
    for line in printed.splitlines():
        for number in re.findall(r"[+-]?\d\.\d{4}", line):
            assert number in said, line
    assert "3 seeds or more give an interval." in said
    assert printed.splitlines()[0] in said
    for one in evaluated:
        assert one.directory.name in said
    for link in re.findall(r'href="(.*?)"', text):
        assert (tmp_path / "new" / link).exists(), link
    assert f"ndcg@1 by history {groups[0].name} {groups[1].name}" in said


def test_hostile_names_are_inert(evaluated, tmp_path):
    groups = grouped(evaluated)
    groups = [dataclasses.replace(groups[0], name=EVIL), groups[1]]
    page.write(groups, tmp_path / "compared.html")
    assert "<img" not in (tmp_path / "compared.html").read_text()
