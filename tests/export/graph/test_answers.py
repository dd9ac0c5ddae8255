"""Attributes of items, answered by a served model beside them."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from podway.export import stage
from podway.export.error import ExportError
from podway.export.layout import GOLDEN
from podway.export.served.recommender import ServedRecommender
from podway.export.verification import sessions, verify
from podway.framework import artifact, config
from podway.framework.error import ConfigError
from tests.export.conftest import VALUES

TITLES = ("", "", *(f"Title of {value}\nüber \\n 🎬" for value in VALUES))
MAKERS = ("", "", *("" if at % 2 else f"maker {at}" for at in range(len(VALUES))))
ATTRIBUTES = {"title": TITLES, "made by": MAKERS, "unused": MAKERS}
TABLE = config.SideTable("item", "none", "id", (), keep=("title", "made by", "unused"))


def titled(trained) -> ServedRecommender:
    options = dataclasses.replace(
        trained.experiment.export, candidate_filter=True, answers=("title", "made by")
    )
    data = dataclasses.replace(trained.experiment.data, tables=(TABLE,))
    experiment = dataclasses.replace(trained.experiment, data=data, export=options)
    return ServedRecommender(experiment, trained.schema, trained.vocabulary, ATTRIBUTES)


@pytest.fixture(scope="module")
def answering(trained, tmp_path_factory):
    return stage.export(
        titled(trained),
        parameters=trained.parameters,
        inputs={"run": "r1"},
        workdir=tmp_path_factory.mktemp("answers"),
    )


@pytest.mark.parametrize("signature", ["serving_default", "ids", "filtered"])
def test_each_signature_answers_with_them(answering, signature):
    found = sessions.load(answering)[signature]
    assert set(found.outputs) == {"item", "score", "title", "made by"}
    if signature == "ids":
        inputs = {"history": np.array([[2, 3], [4, 0]], np.int64)}
    else:
        history = [[value.encode() for value in VALUES[:2]], [VALUES[2].encode(), b""]]
        inputs = {"history": np.array(history, object)}
    if signature == "filtered":
        few = [value.encode() for value in VALUES[10:13]]
        inputs |= {"allow": np.array([few, few], object), "deny": np.array([[b""]] * 2, object)}
    answer = sessions.run(found, inputs, "")
    for row in range(2):
        items = answer["item"][row].tolist()
        if signature != "ids":
            items = [VALUES.index(value.decode()) + 2 if value else 0 for value in items]
        assert [text.decode() for text in answer["title"][row]] == [TITLES[id] for id in items]
        assert [text.decode() for text in answer["made by"][row]] == [MAKERS[id] for id in items]
        assert (signature == "filtered") == (0 in items)  # three are left; the rest is ""


def test_the_manifest_names_them(answering):
    manifest = artifact.read(answering, "model", manifest="assets.extra/export.json")
    assert manifest.details["answers"] == ["title", "made by"]
    assert manifest.config["export"]["answers"] == ["title", "made by"]


def test_a_title_of_another_item_is_found_by_the_verification(answering, tmp_path):
    copy = tmp_path / "1"
    shutil.copytree(answering, copy)
    assert verify.verify(copy).startswith("verified")
    golden = json.loads((copy / GOLDEN).read_text())
    golden["attributes"]["title"][VALUES[7]] = "something else"
    (copy / GOLDEN).write_text(json.dumps(golden))
    with pytest.raises(
        ExportError, match=r"is answered with 'Title of .*, and the dataset has 'some"
    ):
        verify.verify(copy)


def test_what_is_not_kept_cannot_be_served(trained):
    with pytest.raises(
        ConfigError, match=r"export.answers names 'price', and data.tables keep \['t"
    ):
        dataclasses.replace(
            titled(trained).experiment,
            export=dataclasses.replace(trained.experiment.export, answers=("price",)),
        )
    with pytest.raises(ConfigError, match=r"export.answers names 'item', which an answer has"):
        config.Export(answers=("item",))
    with pytest.raises(ConfigError, match="names 'title', which an answer has already"):
        config.Export(answers=("title", "title"))
    older = dataclasses.replace(titled(trained), attributes={"made by": MAKERS})
    with pytest.raises(ExportError, match=r"the dataset keeps made by of its items: .*build the"):
        stage.export(older, parameters=trained.parameters, inputs={}, workdir="none")
