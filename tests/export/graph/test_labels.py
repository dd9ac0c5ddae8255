"""A model of rows, exported from a dataset built of raw files with every kind of feature."""

import csv
import dataclasses
import json
import re
import shutil

import jax
import numpy as np
import pytest
import tensorflow as tf
from etils import epath

from podway.beam.dataset import build
from podway.export import jax_extras, stage
from podway.export.card import request
from podway.export.cases import raw_values
from podway.export.error import ExportError
from podway.export.graph import examples
from podway.export.graph.classify_regress import write_methods
from podway.export.layout import GOLDEN
from podway.export.lowering import labels
from podway.export.verification import requests, sessions, verify, warmup
from podway.framework import artifact, task
from podway.framework.config import (
    Columns,
    Csv,
    Data,
    Experiment,
    Export,
    GlobalTime,
    RowExamples,
    SideTable,
)
from podway.framework.config.features import (
    Bytes,
    Categorical,
    CharacterNgrams,
    Cyclical,
    Gap,
    Hashed,
    Label,
    Numeric,
    Quantiles,
    Text,
    Words,
)
from podway.framework.evaluation.labels import LabelEvaluator
from podway.framework.heads import Binary, Classes, Regression
from podway.framework.input.batches import row_batches
from podway.framework.input.dataset import Dataset
from podway.framework.models.mmoe import Mmoe
from tests.export.card import asked

FIELDS = ("who", "what", "at", "paid", "stars", "shop", "tags", "code", "note", "price")
LABELS = (Binary("liked"), Regression("paid", log=True), Classes("stars", classes=4))


def write_events(path: epath.Path) -> None:
    draw = np.random.default_rng(0)
    words = ("Red", "grün", "ÉTÉ", "x1", "two", "—")
    with path.open("w") as file:
        rows = csv.writer(file)
        rows.writerow(FIELDS)
        for at in range(600):
            missing = draw.random(4) < 0.1
            note = " ".join(draw.choice(words, int(draw.integers(0, 5))))
            tags = "|".join(draw.choice(list("abcdef"), int(draw.integers(0, 5))))
            rows.writerow(
                [
                    f"u{draw.integers(12)}",
                    f"i{draw.integers(15)}",
                    1_500_000_000 + 977 * at,
                    round(float(draw.gamma(2.0)), 3),
                    int(draw.integers(4)),
                    "" if missing[0] else f"shop {draw.integers(9)}",
                    "" if missing[1] else tags,
                    "" if missing[2] else f"c{draw.integers(400)}",
                    note,
                    "" if missing[3] else round(float(draw.normal(20, 30)), 2),
                ]
            )


def write_items(path: epath.Path) -> None:
    draw = np.random.default_rng(1)
    with path.open("w") as file:
        rows = csv.writer(file)
        rows.writerow(("what", "brand", "title"))
        for item in range(1, 14):  # the first and the last have no row
            rows.writerow((f"i{item}", f"b{item % 4}", f"title {draw.integers(5)} of {item}"))


def experiment(folder: epath.Path) -> Experiment:
    features = (
        Label("liked", column="stars", above=1.5),
        Label("paid"),
        Label("stars"),
        Categorical("shop", min_count=40, oov_buckets=3),
        Categorical("tags", many=True),
        Hashed("code", buckets=50),
        Text("note", max_tokens=3),
        Text("grams", column="note", tokenizer=CharacterNgrams(3), max_tokens=9, min_count=30),
        Text("bytes", column="note", tokenizer=Bytes(), max_tokens=6),
        Numeric("price", scale="log_standard", missing=-1.0),
        Quantiles("bucket", column="price", buckets=5),
        Cyclical("hour", column="at", period="day"),
        Cyclical("season", column="at", period="year"),
        Gap("gap"),
    )
    table = SideTable(
        of="item",
        path=str(folder / "items.csv"),
        key="what",
        features=(Categorical("brand"), Text("title", tokenizer=Words(), max_tokens=4)),
    )
    return Experiment(
        name="shop",
        data=Data(
            name="shop",
            path=str(folder / "events.csv"),
            format=Csv(),
            columns=Columns(user="who", item="what", time="at"),
            features=features,
            tables=(table,),
            examples=RowExamples(),
            split=GlobalTime(validation=0.7, test=0.8),
            min_user_events=1,
            min_item_events=1,
            shards=2,
            block_rows=32,
        ),
        model=Mmoe(
            objectives=LABELS, without=("gap", "item"), width=4, experts=2, expert=(8,), tower=(4,)
        ),
        export=Export(batch_buckets=(1, 4), beside=("jax-export", "weights")),
    )


@dataclasses.dataclass(frozen=True)
class Shop:
    experiment: Experiment
    dataset: Dataset
    parameters: dict[str, np.ndarray]
    workdir: epath.Path
    published: epath.Path


def export(experiment, dataset, parameters, workdir) -> epath.Path:
    return stage.export(
        stage.served(experiment, dataset),
        parameters=parameters,
        inputs={"run": "r1", "dataset": "d1"},
        workdir=workdir,
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    folder = epath.Path(tmp_path_factory.mktemp("shop"))
    write_events(folder / "events.csv")
    write_items(folder / "items.csv")
    chosen = experiment(folder)
    dataset = Dataset.open(build(chosen.data, folder, None))
    draw = np.random.default_rng(2)
    parameters = task.initialize(chosen.model, dataset.schema, jax.random.key(0))
    # Large, so that every input shows in the answers.
    parameters = {
        path: np.asarray(each) + 0.5 * draw.normal(size=each.shape).astype(np.float32)
        for path, each in sorted(parameters.items())
    }
    published = export(chosen, dataset, parameters, folder)
    return Shop(chosen, dataset, parameters, folder, published)


def test_the_raw_rows_are_answered_as_the_evaluation_predicts_them(shop):
    """From the CSV through the served graph, and from the dataset through JAX."""
    evaluator = LabelEvaluator(shop.experiment.model, shop.experiment.evaluation)
    lengths = evaluator.lengths(shop.dataset.schema)
    (batch,) = row_batches(shop.dataset, "test", lengths, shop.dataset.examples("test"))
    logits = evaluator.inference(shop.dataset.schema)(shop.parameters, batch.columns, task.SERVING)
    blocks = shop.dataset.blocks("test")
    times = blocks.read(np.arange(len(blocks.rows)), ["time"])["time"] // 1_000_000
    with (shop.workdir / "events.csv").open() as file:
        by_time = {int(row["at"]): row for row in csv.DictReader(file)}
    rows = [by_time[int(time)] for time in times]
    assert len(rows) == 120
    raw = {name: [row[name] for row in rows] for name in ("who", "what", "shop", "tags", "code")}
    raw |= {
        "note": [row["note"] for row in rows],
        "price": [float(row["price"]) if row["price"] else np.nan for row in rows],
        "at": [int(row["at"]) for row in rows],
    }
    signature = tf.saved_model.load(str(shop.published)).signatures["serving_default"]
    kinds = {
        name: spec.dtype.name for name, spec in signature.structured_input_signature[1].items()
    }
    assert set(kinds) == set(raw)
    found = signature(
        **{name: tf.constant(requests.tensor(raw[name], kind)) for name, kind in kinds.items()}
    )
    assert set(found) == {"liked", "paid", "stars"}
    z = {label: np.asarray(each, np.float64) for label, each in logits.items()}
    wanted = {
        "liked": 1 / (1 + np.exp(-z["liked"])),
        "paid": np.sign(z["paid"]) * np.expm1(np.abs(z["paid"])),
        "stars": np.exp(z["stars"]) / np.exp(z["stars"]).sum(1, keepdims=True),
    }
    for label, each in wanted.items():
        assert np.ptp(each, axis=0).min() > 0.05, "the answers differ by row"
        np.testing.assert_allclose(found[label], each, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("unit", [1_000, 1_000_000])
def test_times_in_another_unit_than_seconds_are_refused(shop, unit):
    signature = tf.saved_model.load(str(shop.published)).signatures["serving_default"]
    specs = signature.structured_input_signature[1]
    sent = {
        name: tf.zeros([1, *each.shape[1:]], each.dtype)
        for name, each in specs.items()
        if each.dtype != tf.string
    }
    sent |= {name: tf.constant([""]) for name, each in specs.items() if each.dtype == tf.string}
    signature(**sent | {"at": tf.constant([1_700_000_000], tf.int64)})
    with pytest.raises(tf.errors.InvalidArgumentError, match="whole seconds since 1970, and this"):
        signature(**sent | {"at": tf.constant([1_700_000_000 * unit], tf.int64)})


def test_it_is_verified_published_and_says_what_it_takes(shop):
    manifest = artifact.read(shop.published, "model", manifest="assets.extra/export.json")
    assert manifest.details["labels"] == ["liked", "paid", "stars"]
    assert manifest.details["inputs"]["at"] == "int64"
    assert "12 cases and 12 warm-up requests by 6 signatures" in verify.verify(shop.published)
    golden = json.loads((shop.published / GOLDEN).read_text())
    names = [case["name"] for case in golden["cases"]]
    assert {"everything missing", "everything unknown", "no row", "a batch of 9"} <= set(names)
    sizes = {
        (request.model_spec.signature_name, tensor.tensor_shape.dim[0].size)
        for request in warmup.read(shop.published)
        for tensor in request.inputs.values()
    }
    assert sizes == {(name, size) for name in manifest.details["signatures"] for size in (1, 4)}


def test_its_card_has_a_request_that_it_answers(shop):
    golden = json.loads((shop.published / GOLDEN).read_text())
    told = dict(re.findall(r"(\w+) (\[.*?\]|[\d.e+-]+)", request.example(golden).answer))
    answer = asked.answer(shop.published)
    assert set(told) == {"liked", "paid", "stars"}
    for label, value in told.items():
        np.testing.assert_allclose(answer[label], json.loads(value), rtol=1e-4)


def test_jax_takes_the_function_and_the_weights_from_beside_the_model(shop):
    manifest = artifact.read(shop.published, "model", manifest="assets.extra/export.json")
    lengths = LabelEvaluator(shop.experiment.model, shop.experiment.evaluation).lengths(
        shop.dataset.schema
    )
    (batch,) = row_batches(shop.dataset, "test", lengths, shop.dataset.examples("test"))
    columns = [batch.columns[name] for name in manifest.details["columns"]]
    weights = jax_extras.load_weights(shop.published)
    found = jax_extras.load_function(shop.published)(weights, *columns)
    function = labels.function(
        shop.experiment.model, shop.dataset.schema, tuple(manifest.details["columns"])
    )
    wanted = jax.jit(function)(shop.parameters, *columns)
    assert len(found) == len(manifest.details["labels"])
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_another_answer_is_found_and_measured(shop, tmp_path):
    shutil.copytree(shop.published, tmp_path / "m")
    golden = json.loads((tmp_path / "m" / GOLDEN).read_text())
    golden["answers"]["paid"][3] += 1e-3
    (tmp_path / "m" / GOLDEN).write_text(json.dumps(golden))
    with pytest.raises(
        ExportError, match=r"case 'a row 3', row 0: paid is .* differ by 0\.00(1|099)"
    ):
        verify.verify(tmp_path / "m")


def example(**features) -> bytes:
    """A serialised tf.Example: texts, numbers (as floats) and times (as ints), by name."""
    example = tf.train.Example()
    for name, values in features.items():
        kind = {bytes: "bytes_list", float: "float_list", int: "int64_list"}[type(values[0])]
        getattr(example.features.feature[name], kind).value.extend(values)
    return example.SerializeToString()


def test_examples_leave_out_what_is_missing_and_have_lists(shop):
    signatures = sessions.load(shop.published)
    columns = {
        "who": [b"u1", b"u1", b""],
        "what": [b"i2", b"i2", b""],
        "shop": [b"", b"shop 1", b""],
        "tags": [b"a|b|zz", b"", b""],
        "code": [b"c1", b"", b""],
        "note": [b"Red x1", b"", b""],
        "price": np.array([21.5, np.nan, np.nan], np.float32),
        "at": np.array([1_500_000_000, -(2**63), -(2**63)]),
    }
    plain = {name: np.array(values, None) for name, values in columns.items()}
    wanted = sessions.run(signatures["serving_default"], plain, "")
    some = {"who": [b"u1"], "what": [b"i2"]}
    rest = {"code": [b"c1"], "note": [b"Red x1"], "price": [21.5], "at": [1_500_000_000]}
    empty = example(who=[b"u1"], what=[b"i2"], shop=[b"shop 1"], another=[7])
    sent = [example(**some, **rest, tags=[b"a", b"b", b"zz"]), empty, example()]
    found = sessions.run(signatures["examples"], {"examples": np.array(sent, object)}, "")
    for label, answers in wanted.items():
        np.testing.assert_allclose(found[label], answers, rtol=1e-5)
        assert np.ptp(answers, axis=0).min() > 0.01, "the answers differ by row"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (example(price=[1.0, 2.0]), "feature .*price.* of an Example has more values than one"),
        (example(price=[b"dear"]), "price.*[Dd]ata types don't match"),
        (b"no example", "[Cc]ould not parse example"),
    ],
)
def test_examples_that_cannot_be_read_are_refused_by_name(shop, request_, message):
    signatures = sessions.load(shop.published)
    with pytest.raises(ExportError, match=message):
        sessions.run(signatures["examples"], {"examples": np.array([request_], object)}, "here")


def test_classify_and_regress_are_what_tensorflow_serving_asks_for(shop):
    signatures = sessions.load(shop.published)
    methods = {
        name: each.method.removeprefix("tensorflow/serving/") for name, each in signatures.items()
    }
    assert methods == {
        "serving_default": "predict",
        "examples": "predict",
        "classify": "classify",
        "classify_stars": "classify",
        "regress": "regress",
        "regress_liked": "regress",
    }
    request = {"inputs": np.array([example(who=[b"u1"], what=[b"i2"])] * 5, object)}
    answers = sessions.run(signatures["examples"], {"examples": request["inputs"]}, "")
    liked = sessions.run(signatures["classify"], request, "")
    assert liked["classes"].tolist() == [[b"0", b"1"]] * 5
    np.testing.assert_allclose(liked["scores"][:, 1], answers["liked"], rtol=1e-6)
    np.testing.assert_allclose(liked["scores"].sum(axis=1), 1, rtol=1e-6)
    stars = sessions.run(signatures["classify_stars"], request, "")
    assert stars["classes"][0].tolist() == [b"0", b"1", b"2", b"3"]
    paid = sessions.run(signatures["regress"], request, "")
    np.testing.assert_allclose(paid["outputs"], answers["paid"], rtol=1e-6)
    assert methods.keys() == tf.saved_model.load(str(shop.published)).signatures.keys()


def test_a_graph_that_reads_examples_otherwise_is_not_published(shop, tmp_path, monkeypatch):
    monkeypatch.setitem(examples._MISSING, tf.float32, 0.0)
    with pytest.raises(ExportError, match=r"signature examples, row 0: .*JAX says"):
        export(shop.experiment, shop.dataset, shop.parameters, tmp_path)


def test_a_signature_of_another_method_is_found(shop, tmp_path):
    shutil.copytree(shop.published, tmp_path / "m")
    write_methods(tmp_path / "m", {"regress": ("classify", "paid")})
    with pytest.raises(ExportError, match=r"signatures and their methods are .*not .*/regress"):
        verify.verify(tmp_path / "m")


def test_a_graph_with_another_transform_is_not_published(shop, tmp_path, monkeypatch):
    """The golden file computes features by itself: here of one that the graph does not have."""
    value = raw_values.value

    def shifted(fitted, *arguments):
        found = value(fitted, *arguments)
        return found + np.float32(0.1) if fitted.transform.name == "price" else found

    monkeypatch.setattr(raw_values, "value", shifted)
    with pytest.raises(ExportError, match="JAX says"):
        export(shop.experiment, shop.dataset, shop.parameters, tmp_path)
    assert list(tmp_path.glob("models/shop/[0-9]*")) == []


def test_what_one_row_does_not_tell_is_refused(shop, tmp_path):
    model = dataclasses.replace(shop.experiment.model, without=())
    parameters = task.initialize(model, shop.dataset.schema, jax.random.key(0))
    with pytest.raises(ExportError, match="'gap', a Gap, which one row alone does not tell"):
        export(
            dataclasses.replace(shop.experiment, model=model),
            shop.dataset,
            jax.device_get(parameters),
            tmp_path,
        )
