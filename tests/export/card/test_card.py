"""The card beside a published model."""

import dataclasses
import html
import json
import re
import shlex

import numpy as np
import pytest

from podway.export import layout
from podway.export.card import card, markdown, request
from podway.export.card.content import Card as Content
from podway.export.card.content import Code, Facts, Section, Words
from podway.export.verification import golden
from podway.framework import artifact
from podway.framework.config import Card
from podway.framework.page.table import Table, cells
from tests.export.card import asked
from tests.framework.report.test_run import begin, commit, evaluate, plain

EVIL = "<img src=x onerror=alert(1)>|`_*\n# no heading"


def texts(trained, published, workdir, experiment=None, **inputs) -> dict[str, str]:
    manifest = artifact.read_manifest(published, "model", manifest=layout.MANIFEST)
    return card.texts(
        experiment or trained.experiment,
        version=7,
        inputs={"run": "run-1", "dataset": "data-1"} | inputs,
        workdir=workdir,
        details=manifest.details,
        golden=golden.read(published),
        code="abcdef",
    )


def test_a_published_version_has_its_card_among_its_files(published):
    manifest = artifact.read(published, "model", manifest=layout.MANIFEST)
    assert {layout.CARD, layout.CARD_TEXT} <= {file.path for file in manifest.files}
    for name in (layout.CARD, layout.CARD_TEXT):
        text = html.unescape(plain((published / name).read_text()).replace("\\", ""))
        assert "small, version 1" in text
        assert "SasRec" in text
        assert manifest.details["verified"].removeprefix("verified: ") in text
        assert "It was not evaluated: run `podway evaluate` before the export." in text
        assert "The dataset was not there" in text
        assert "set export.card.license in the config" in text


def test_what_the_card_calls_is_answered_as_it_says(published):
    told = asked.answer(published)
    assert len(told["item"]) == 10
    said = request.example(golden.read(published)).answer
    counted, _, listed = said.partition(": ")
    assert counted == "10 items with their scores, the best first"
    pairs = re.findall(r"(.*?) \((.*?)\)(?:, | …)", listed)
    assert [item for item, _ in pairs] == told["item"][:3]
    assert [float(score) for _, score in pairs] == pytest.approx(told["score"][:3], rel=1e-3)


def test_it_says_what_the_evaluation_and_the_config_say(trained, published, tmp_path):
    directory = begin(tmp_path, name="run-1")
    commit(directory)
    evaluate(tmp_path)
    said = Card(EVIL, "for the shop", "not for people", "CC BY 4.0")
    options = dataclasses.replace(trained.experiment.export, card=said)
    experiment = dataclasses.replace(trained.experiment, name="shop", export=options)
    found = texts(trained, published, tmp_path, experiment)
    page, text = found[layout.CARD], found[layout.CARD_TEXT]
    for each in (plain(page), text.replace("\\", "")):
        assert "0.5000 [0.3750, 0.6250]" in each
        assert "not finite" in each
        assert "License: CC BY 4.0" in each
        assert "Meant for: for the shop" in each
        assert "Limits: not for people" in each
    assert "ndcg@10 by target" in page
    assert "<img" not in page
    assert "<img" not in re.sub(r"\\.", "", text)
    assert "\n# no heading" not in text


def test_without_an_evaluation_the_validation_is_told(trained, published, tmp_path):
    commit(begin(tmp_path, name="run-1"))
    experiment = dataclasses.replace(trained.experiment, name="shop")
    text = texts(trained, published, tmp_path, experiment)[layout.CARD_TEXT]
    assert "- ndcg@10: 0.1250" in text
    assert "It was not evaluated on the test split before the export" in text.replace("\\", "")


def test_a_card_that_cannot_be_made_keeps_no_model_back(trained, published, tmp_path, caplog):
    made = card.texts(
        trained.experiment,
        version=7,
        inputs={},
        workdir=tmp_path,
        details={},
        golden={},
        code="",
    )
    assert made == {}
    assert "the card of small 7 could not be made" in caplog.text


def test_a_long_request_lies_beside_the_card():
    pixels = np.zeros(784, int).tolist()
    content = {"kind": "rows", "raw": {"pixels": [pixels] * 4}, "answers": {"label": [[0.5]] * 4}}
    example = request.example(content)
    assert example.is_long
    assert example.command("m").endswith(f"-d @{layout.REQUEST}")
    assert json.loads(example.body) == {"instances": [{"pixels": pixels}]}
    assert example.answer == "label [0.5]"


def test_a_row_without_missing_values_is_asked_about():
    raw = {"who": ["", "?", "", "it's"], "price": [None, 1e30, 2.0, 3.0]}
    example = request.example({"kind": "rows", "raw": raw, "answers": {"liked": [0, 0, 0.5, 0.25]}})
    assert json.loads(example.body) == {"instances": [{"who": "it's", "price": 3.0}]}
    assert shlex.split(example.command("m"))[-1] == example.body
    assert example.answer == "liked 0.25"


@pytest.mark.parametrize(
    "text", ["# a", "1. a", "- a", "> a", "a | b", "`a`", "_a_", "<b>", "&lt;"]
)
def test_what_looks_like_markup_is_text(text):
    blocks = [Words(text), Facts([(text, text)]), Table([text], [cells([text])])]
    made = markdown.render(Content(text, text, [Section(text, blocks)]))
    bare = re.sub(r"\\[^a-z0-9 ]", "", made)
    for mark in ("`", "_a", "<", "&"):
        assert mark not in bare
    assert len(re.findall(r"^#+ ", bare, re.MULTILINE)) == 2
    assert len(re.findall(r"^- ", bare, re.MULTILINE)) == 1
    assert all(row.count("|") == 2 for row in bare.splitlines() if row.startswith("|"))


def test_a_fence_is_longer_than_what_it_holds():
    made = markdown.render(Content("t", "a", [Section("s", [Code("```\nx", "sh")])]))
    assert "````sh\n```\nx\n````" in made
