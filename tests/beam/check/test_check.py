import json
import pathlib
from typing import Any

import numpy as np
import pytest
from etils import epath

from podway.beam.check import check, declared, described
from podway.beam.check.findings import Finding, Report
from podway.framework.artifact import ArtifactError
from podway.framework.config.limits import Limits
from podway.framework.error import ConfigError
from tests.beam.described import commit

ROWS = 4_000


def columns(seed: int, rows: int = ROWS, **changed: Any) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    made = {
        "user": [f"u{seed}-{at}" for at in range(rows)],
        "item": [f"i{at}" for at in generator.integers(0, 300, rows)],
        "city": [f"c{at}" for at in generator.integers(0, 12, rows)],
        "price": np.round(np.exp(generator.normal(2, 1, rows)), 2).clip(0.1, 200),
        "clicked": generator.integers(0, 2, rows).astype(float),
    }
    return {**made, **changed}


def make(directory: pathlib.Path, seed: int = 0, **fields: Any) -> epath.Path:
    """A dataset whose three splits come from `columns`; `fields` change the train split."""
    commit_fields = {name: fields.pop(name) for name in ("schema", "min_count") if name in fields}
    test = columns(seed + 100, rows=1_000)
    test = {name: values for name, values in test.items() if name != "user"}
    validation = columns(seed + 200, rows=100)
    train = columns(seed, **fields)
    both = {name: values for name, values in train.items() if values is not None}
    return commit(directory, both, validation=validation, test=test, **commit_fields)


@pytest.fixture
def old(tmp_path: pathlib.Path) -> epath.Path:
    return make(tmp_path / "d" / "old")


def told(report: Report) -> list[tuple[str, str, str, str]]:
    return [(one.severity, one.feature, one.split, one.check) for one in report.findings]


def only(report: Report) -> Finding:
    assert len(report.findings) == 1, report.text()
    return report.findings[0]


def test_a_dataset_like_the_earlier_one_passes(old, tmp_path):
    for seed in range(1, 6):
        new = make(tmp_path / "d" / f"new{seed}", seed)
        report = check.check(new, against=old)
        assert told(report) == []
        assert report.unjudged == {"validation": ["item", "city", "price", "clicked"]}
    assert report.text() == (
        f"check of {new}: 5 features, 0 errors, 0 warnings\n  against {old}\n\n"
        "no verdict in validation, with fewer than 500 rows: item, city, price, clicked"
    )


def test_a_missing_and_a_new_feature(old, tmp_path):
    new = make(tmp_path / "d" / "new", 1, price=None, weight=np.ones(ROWS))
    report = check.check(new, against=old)
    assert told(report) == [
        ("error", "price", "", "feature"),
        ("warning", "weight", "", "feature"),
    ]


@pytest.mark.parametrize(
    ("key", "value"), [("dtype", "int64"), ("role", "label"), ("ragged", True), ("shape", (2,))]
)
def test_a_changed_feature(old, tmp_path, key, value):
    new = make(tmp_path / "d" / "new", 1, schema={"price": {key: value}})
    found = only(check.check(new, against=old))
    assert (found.severity, found.feature, found.check) == ("error", "price", key)
    assert found.found == str(value)


def test_numbers_become_text(old, tmp_path):
    new = make(tmp_path / "d" / "new", 1, price=["1"] * ROWS)
    checks = {(one.feature, one.check) for one in check.check(new, against=old).findings}
    assert checks == {("price", "dtype"), ("price", "vocabulary")}


def test_examples_collapse(old, tmp_path):
    few = commit(tmp_path / "d" / "few", columns(1, 1_900), validation=columns(2, 100))
    found = check.check(few, against=old).findings
    assert [(one.split, one.check, one.found) for one in found] == [
        ("test", "examples", "0 (1,000 before)"),
        ("train", "examples", "1,900 (4,000 before)"),
    ]
    assert found[1].expected == "at least 2,000"
    assert not check.check(few, against=old, limits=Limits(examples=0)).findings


def test_more_missing_values(old, tmp_path):
    price = columns(1)["price"]
    gone = np.where(np.arange(ROWS) % 10 == 0, np.nan, price)
    found = check.check(make(tmp_path / "d" / "new", 1, price=gone), against=old).findings
    # Nothing was missing before: the new bin of a tenth is seen as drift as well.
    assert [one.check for one in found if one.severity == "error"] == ["drift", "missing"]
    assert found[1].expected == "at most 5.0%"
    assert found[1].found == "10.0% (0.0% before)"
    few = np.where(np.arange(ROWS) % 25 == 0, np.nan, price)
    report = check.check(make(tmp_path / "d" / "few", 1, price=few), against=old)
    assert "missing" not in {one.check for one in report.findings}


def half(rows: int, share: float) -> dict[str, Any]:
    return {"price": np.where(np.arange(rows) < share * rows, np.nan, 1.0)}


def test_a_share_that_grew_by_chance(tmp_path):
    for rows, expected in ((500, []), (5_000, [("error", "price", "train", "missing")])):
        old = commit(tmp_path / str(rows) / "old", half(rows, 0.5))
        new = commit(tmp_path / str(rows) / "new", half(rows, 0.56))
        assert told(check.check(new, against=old)) == expected


def test_nothing_is_said_of_few_rows(tmp_path):
    old = commit(tmp_path / "d" / "old", half(499, 0))
    new = commit(tmp_path / "d" / "new", half(499, 0.9))
    report = check.check(new, against=old)
    assert told(report) == []
    assert report.unjudged == {"train": ["price"]}
    lower = check.check(new, against=old, limits=Limits(rows=499))
    assert {one.check for one in lower.findings} == {"missing", "drift"}


def test_more_values_out_of_the_vocabulary(old, tmp_path):
    rare = [f"r{at}" if at % 8 == 0 else city for at, city in enumerate(columns(1)["city"])]
    new = make(tmp_path / "d" / "new", 1, city=rare, min_count=5)
    found = [one for one in check.check(new, against=old).findings if one.split == "train"]
    assert ("out of vocabulary", "12.5% (0.0% before)") in {(one.check, one.found) for one in found}


def test_new_values(old, tmp_path):
    renamed = [city if city != "c3" else "C3" for city in columns(1)["city"]]
    report = check.check(make(tmp_path / "d" / "new", 1, city=renamed), against=old)
    found = {one.check: one for one in report.findings if one.split == "train"}
    assert found["new values"].found.endswith("% of the values: 'C3'")
    assert found["new values"].severity == "error"
    looser = check.check(
        tmp_path / "d" / "new",
        against=old,
        limits=Limits(new_values=0.2, out_of_vocabulary=0.2, psi=9, js=1),
    )
    assert not looser.findings


def test_a_vocabulary_that_jumps(old, tmp_path):
    many = [f"{city}-{at % 3}" for at, city in enumerate(columns(1)["city"])]
    report = check.check(make(tmp_path / "d" / "new", 1, city=many), against=old)
    found = {one.check: one for one in report.findings}
    assert found["vocabulary"].expected == "7 to 28 ids"
    assert found["vocabulary"].found == "38 (14 before)"


def test_numbers_out_of_range(old, tmp_path):
    inside = columns(1)["price"].clip(1, 100)
    cents = np.append(inside[:-100], np.full(100, 1999.0))
    report = check.check(make(tmp_path / "d" / "new", 1, price=cents), against=old)
    found = only(report)
    assert (found.severity, found.split, found.check) == ("error", "train", "range")
    assert found.found.endswith("to 1999; 2.50% of the numbers are outside")
    one = np.append(inside[:-1], 1999.0)  # a single row, but far away
    found = only(check.check(make(tmp_path / "d" / "one", 1, price=one), against=old))
    assert (found.severity, found.check) == ("warning", "range")
    near = np.append(inside[:-1], 210.0)
    assert not check.check(make(tmp_path / "d" / "near", 1, price=near), against=old).findings


def test_drift(old, tmp_path):
    new = make(tmp_path / "d" / "new", 1, price=columns(1)["price"] * 2)
    found = [one for one in check.check(new, against=old).findings if one.check == "drift"]
    assert [(one.severity, one.feature, one.split) for one in found] == [
        ("error", "price", "train")
    ]
    assert found[0].expected == "PSI up to 0.2"
    assert found[0].found.startswith("PSI 0.")


def test_nothing_to_check_against(old, tmp_path):
    with pytest.raises(ConfigError, match="give --schema, or --against"):
        check.check(old)
    with pytest.raises(ArtifactError, match="nowhere is no committed dataset"):
        check.check(old, against=tmp_path / "nowhere")


# -------------------------------------------------------------------------------- declared schema


@pytest.fixture
def schema(old, tmp_path) -> epath.Path:
    path = epath.Path(tmp_path) / "schema.json"
    declared.write(path, declared.infer(described.read(old)))
    return path


def change(path: epath.Path, name: str, **keys: Any) -> None:
    content = json.loads(path.read_text())
    content[name] |= keys
    path.write_text(json.dumps(content))


def test_a_dataset_is_as_was_inferred_from_it(old, schema):
    report = check.check(old, schema=schema)
    assert told(report) == []
    content = json.loads(schema.read_text())
    assert list(content) == ["user", "item", "city", "price", "clicked"]
    assert content["city"] == {
        "role": "feature",
        "dtype": "int32",
        "ragged": False,
        "values": sorted(f"c{at}" for at in range(12)),
        "max_missing": 0.0,
        "max_out_of_vocabulary": 0.0,
    }
    assert content["item"]["max_size"] == 604
    assert (content["clicked"]["min"], content["clicked"]["max"]) == (0, 1)
    assert len(schema.read_text().splitlines()) == 7  # one feature a line


@pytest.mark.parametrize(
    ("name", "keys", "splits", "what", "found"),
    [
        ("price", {"dtype": "int32"}, [""], "dtype", "float32"),
        ("price", {"role": "label"}, [""], "role", "feature"),
        ("item", {"max_size": 200}, [""], "size", "302"),
        ("clicked", {"max": 0.5}, ["test", "train", "validation"], "range", "1; "),
        ("clicked", {"min": 0.5}, ["test", "train", "validation"], "range", "0; "),
        ("city", {"values": ["c0"]}, ["test", "train", "validation"], "values", "and 8 more: "),
        ("price", {"values": ["c0"]}, [""], "values", "no vocabulary"),
    ],
)
def test_what_is_not_as_declared(old, schema, name, keys, splits, what, found):
    change(schema, name, **keys)
    report = check.check(old, schema=schema)
    assert sorted(told(report)) == [("error", name, split, what) for split in splits]
    assert all(found in one.found for one in report.findings)


def test_each_split_has_values_of_its_own(tmp_path, schema):
    rows = {"city": ["a"] * 8 + ["b"] * 2}
    dataset = commit(tmp_path / "d" / "new", rows, test={"city": ["a"] * 10})
    schema.write_text('{"city": {"values": ["a"]}}')
    found = only(check.check(dataset, schema=schema))
    assert (found.split, found.found) == ("train", "'b': 20.00% of the rows")


def test_shares_that_are_declared(tmp_path, schema):
    gone = np.where(np.arange(ROWS) % 8 == 0, np.nan, columns(0)["price"])
    rare = [f"r{at}" if at % 8 == 0 else city for at, city in enumerate(columns(0)["city"])]
    new = make(tmp_path / "d" / "new", price=gone, city=rare, min_count=5)
    change(schema, "item", values=None, max_out_of_vocabulary=1)
    report = check.check(new, schema=schema)
    assert told(report) == [
        ("error", "city", "train", "out of vocabulary"),
        ("error", "price", "train", "missing"),
    ]
    assert report.findings[1].found == "12.500%"
    change(schema, "price", max_missing=0.125)
    change(schema, "city", max_out_of_vocabulary=0.125)
    assert told(check.check(new, schema=schema)) == []


def test_features_that_are_declared_or_not(old, schema):
    content = json.loads(schema.read_text())
    del content["price"]
    schema.write_text(json.dumps({**content, "colour": {}}))
    report = check.check(old, schema=schema)
    assert told(report) == [
        ("error", "colour", "", "feature"),
        ("warning", "price", "", "feature"),
    ]
    assert report.errors == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "schema.json is not JSON"),
        ("[]", "must hold an object"),
        ('{"price": {"mim": 3}}', r"price has unknown keys \['mim'\]; perhaps 'min'\?"),
        ('{"price": {"xyz": 3}}', r"unknown keys \['xyz'\]; the keys are role, dtype"),
        ('{"price": {"min": "3"}}', r"schema.json: price.min: expected float, found '3'"),
        ('{"price": 3}', r"schema.json: price: expected an object, found 3"),
    ],
)
def test_a_schema_that_is_wrong(old, schema, text, message):
    schema.write_text(text)
    with pytest.raises(ConfigError, match=message):
        check.check(old, schema=schema)


def test_no_schema(old, tmp_path):
    with pytest.raises(ConfigError, match=r"--infer-schema .*none.json` writes one"):
        check.check(old, schema=tmp_path / "none.json")


# ---------------------------------------------------------------------------------------- report


def test_the_report_is_readable(old, schema):
    change(schema, "clicked", max=0.5)
    change(schema, "price", dtype="int32")
    report = check.check(old, schema=schema, against=old)
    lines = report.text().splitlines()
    assert lines[:6] == [
        f"check of {old}: 5 features, 4 errors, 0 warnings",
        f"  against {old}",
        f"  as declared in {schema}",
        "",
        lines[4],
        lines[5],
    ]
    assert lines[4].split() == ["feature", "split", "check", "expected", "found"]
    assert lines[5].split() == ["error", "price", "dtype", "int32", "float32"]  # the worst first
    assert lines[6].strip().startswith("→ change the feature")
    column = lines[4].index("expected")
    assert all(line[column - 2 : column] == "  " for line in lines[5:13:2])
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert content["passed"] is False
    assert content["findings"][0]["feature"] == "price"


def test_an_increment_is_counted_by_the_earlier_vocabulary(tmp_path):
    """The earlier dataset left rare items out; those of the increment are no drift for that."""
    generator = np.random.default_rng(5)

    def items(rows):
        common = generator.random(rows) < 0.8
        return [
            f"i{at}" if often else f"rare{at + generator.integers(0, 8000)}"
            for at, often in zip(generator.integers(0, 60, rows), common, strict=True)
        ]

    old = make(tmp_path / "d" / "old", item=items(ROWS), min_count=20)
    new = make(tmp_path / "d" / "new", 1, item=items(ROWS))
    limits = Limits(vocabulary=1e9, examples=0.0)
    assert {one[3] for one in told(check.check(new, against=old, limits=limits))} == {
        "drift",
        "new values",
    }
    report = check.check(new, against=old, limits=limits, increment=True)
    assert told(report) == []
    psi, _ = check.largest_psi(new, old, limits)
    assert psi < 0.05
    moved = make(tmp_path / "d" / "moved", 2, item=[f"i{at % 7}" for at in range(ROWS)])
    assert ("error", "item", "train", "drift") in told(
        check.check(moved, against=old, limits=limits, increment=True)
    )
    assert check.largest_psi(moved, old, limits)[1] == "item"
