"""The signature `filtered`: which items a request allows and denies."""

import json
import re
import shutil

import numpy as np
import pytest

from podway.export.cases import filtered as cases
from podway.export.error import ExportError
from podway.export.layout import GOLDEN, MANIFEST
from podway.export.verification import sessions, verify
from tests.export.conftest import SIZE, VALUES
from tests.framework import experiments


@pytest.fixture(scope="module")
def filtered(complete):
    return sessions.load(complete)["filtered"]


def run(filtered, rows) -> tuple[np.ndarray, np.ndarray]:
    found = sessions.run(filtered, rows, "")
    return found["item"], found["score"]


@pytest.fixture(scope="module")
def ask(filtered):
    def ask(history, allow, deny):
        lists = {"history": history, "allow": allow, "deny": deny}
        rows = {name: np.array(row, object).reshape(1, -1) for name, row in lists.items()}
        item, score = run(filtered, rows)
        return [value.decode() for value in item[0] if value], score[0]

    return ask


def best(trained, history, allowed) -> list[str]:
    """The ten best of the allowed items by sorting in NumPy."""
    family, schema = trained.experiment.model, trained.schema
    ids = [VALUES.index(value) + 2 for value in history]
    padded = np.array([ids + [0] * (64 - len(ids))])
    scores = experiments.scores(family, schema, trained.parameters, padded)[0]
    left = [VALUES.index(value) + 2 for value in allowed if value not in history]
    return [VALUES[item - 2] for item in sorted(left, key=lambda item: (-scores[item], item))[:10]]


def test_the_best_of_the_allowed_are_recommended(trained, ask):
    history, allow = ["item 1", "item 7"], [f"item {n}" for n in range(5, 30)]
    assert ask(history, allow, [])[0] == best(trained, history, allow)
    assert ask(history, ["", *allow, "", "never seen"], [""])[0] == best(trained, history, allow)


def test_without_an_allow_list_every_item_is_allowed(trained, ask):
    history = ["item 3"]
    assert ask(history, [], [])[0] == best(trained, history, VALUES)
    assert ask(history, ["", ""], [])[0] == best(trained, history, VALUES)


def test_denied_items_are_never_recommended(trained, ask):
    history = ["item 3"]
    first = best(trained, history, VALUES)
    left = [value for value in VALUES if value not in first[:4]]
    assert ask(history, [], first[:4])[0] == best(trained, history, left)
    assert ask(history, first, first[:4])[0] == first[4:]


def test_an_allow_list_of_unknown_values_allows_nothing(ask):
    items, scores = ask(["item 3"], ["never seen"], [])
    assert items == []
    assert (scores == np.finfo(np.float32).min).all()


def test_lists_are_a_row_s_own(trained, filtered):
    history = np.array([[b"item 1"], [b"item 1"], [b"item 1"]], object)
    allow = np.array([[b"item 5"], [b""], [b"item 6"]], object)
    deny = np.array([[b""], [b"item 5"], [b"item 6"]], object)
    item, _ = run(filtered, {"history": history, "allow": allow, "deny": deny})
    every = best(trained, ["item 1"], [value for value in VALUES if value != "item 5"])
    assert [[v.decode() for v in row if v] for row in item] == [["item 5"], every, []]


def test_it_is_verified_and_warmed(complete):
    assert re.search(r"20 cases and 12 warm-up requests", verify.verify(complete))
    golden = json.loads((complete / GOLDEN).read_text())
    names = [name for name, _ in cases.cases(SIZE)]
    assert [row["name"] for row in golden["filtered"]] == names
    details = json.loads((complete / MANIFEST).read_text())["details"]
    assert details["padding"]["filtered"] == {"history": "", "allow": "", "deny": ""}


def test_a_filter_that_lets_a_denied_item_through_is_found(complete, tmp_path):
    golden = json.loads((complete / GOLDEN).read_text())
    row = next(row for row in golden["filtered"] if row["name"] == "many denied")
    row["deny"] = []
    copy = shutil.copytree(complete, tmp_path / "copy")
    (copy / GOLDEN).write_text(json.dumps(golden))
    with pytest.raises(ExportError, match=r"signature filtered, cases .*'many denied'"):
        verify.verify(copy)
