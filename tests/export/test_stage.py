import dataclasses
import json

import jax
import numpy as np
import pytest
from etils import epath

from podway.export import identity, stage
from podway.export.cases import reference
from podway.export.error import ExportError
from podway.export.graph import saved_model
from podway.export.served.recommender import ServedRecommender
from podway.export.verification import warmup
from podway.framework import artifact, task
from podway.framework.artifact.upgrade import CodeChanged
from podway.framework.code import sources
from podway.framework.config import Evaluation
from podway.framework.error import ConfigError
from podway.framework.models.bert4rec import Bert4Rec
from podway.framework.models.decoder import Decoder
from podway.framework.models.hstu import Hstu
from podway.framework.models.parts.item_losses import Bce, GBce
from podway.framework.models.retrieve_rank import RetrieveRank
from podway.framework.models.sasrec import SasRec
from podway.framework.models.two_tower import TwoTower
from podway.framework.schema.schema import Feature, Schema, Vocabulary
from tests.framework import experiments

INPUTS = {"run": "r1", "dataset": "d1"}


def export(trained, workdir, **changes) -> epath.Path:
    parameters = changes.pop("parameters", trained.parameters)
    of = (trained.experiment, trained.schema, trained.vocabulary)
    served = dataclasses.replace(ServedRecommender(*of), **changes)
    return stage.export(served, parameters=parameters, inputs=INPUTS, workdir=workdir)


def test_the_manifest_says_where_the_model_comes_from(trained, published):
    manifest = artifact.read(published, "model", manifest="assets.extra/export.json")
    assert manifest.inputs == INPUTS
    assert manifest.name == "small"
    assert manifest.details["target"] == "2.18"
    assert manifest.details["top_k"] == 10
    assert manifest.details["max_history"] == 64
    assert manifest.details["batch_buckets"] == [1, 2, 5]
    assert manifest.details["signatures"] == ["serving_default", "ids", "examples"]


def test_a_model_is_current_as_long_as_nothing_it_is_made_of_changes(trained, workdir, published):
    experiment = trained.experiment
    assert identity.current(experiment, inputs=INPUTS, workdir=workdir) == published
    other = INPUTS | {"run": "r2"}
    assert identity.current(experiment, inputs=other, workdir=workdir) is None
    options = dataclasses.replace(experiment.export, top_k=9)
    changed = dataclasses.replace(experiment, export=options)
    assert identity.current(changed, inputs=INPUTS, workdir=workdir) is None
    assert identity.current(experiment, inputs=INPUTS, workdir=workdir / "new") is None


def test_a_model_of_other_code_is_asked_about(trained, workdir, published, monkeypatch):
    given = {"inputs": INPUTS, "workdir": workdir}
    manifest = published / "assets.extra" / "export.json"
    before = manifest.read_text()
    monkeypatch.setattr(sources, "code", lambda kind, part: "b" * 16)
    with pytest.raises(CodeChanged, match=f"the model {published} .*--code keep to use it"):
        identity.current(trained.experiment, **given)
    assert identity.current(trained.experiment, **given, choice="new") is None
    assert identity.current(trained.experiment, **given, choice="keep") == published
    assert identity.current(trained.experiment, **given) == published
    kept = artifact.read(published, "model", manifest="assets.extra/export.json")
    assert kept.details["code"] == [kept.code, "b" * 16]
    manifest.write_text(before)


def test_a_language_model_may_answer_with_what_was_seen(trained, tmp_path):
    """Verified through its layers' scan; a model of the other kind is another model."""
    family = Decoder(
        width=8, layers=2, heads=2, kv_heads=1, head_width=4, feed_forward=8, max_length=8
    )
    experiment = dataclasses.replace(
        trained.experiment, model=family, evaluation=Evaluation(exclude_seen=False)
    )
    parameters = task.initialize(family, trained.schema, jax.random.key(1))
    published = export(
        trained, tmp_path, experiment=experiment, parameters=jax.device_get(parameters)
    )
    manifest = artifact.read(published, "model", manifest="assets.extra/export.json")
    assert manifest.details["exclude_seen"] is False
    written = json.loads((published / "assets.extra" / "golden.json").read_text())
    assert any(set(row["ids"]) & set(row["answer"]["ids"]) for row in written["rows"])
    assert identity.current(experiment, inputs=INPUTS, workdir=tmp_path) == published
    other = dataclasses.replace(experiment, evaluation=Evaluation())
    assert identity.current(other, inputs=INPUTS, workdir=tmp_path) is None


SMALL = {"width": 8, "blocks": 1, "heads": 2, "max_length": 8}
FAMILIES = [
    SasRec(**SMALL, block_kind="post", objective=Bce()),
    SasRec(**SMALL, block_kind="ligr", objective=GBce()),
    Hstu(**SMALL),
    Bert4Rec(**SMALL),
]


@pytest.mark.parametrize("family", FAMILIES, ids=["BCE", "LiGR", "HSTU", "BERT4Rec"])
def test_every_family_is_served_as_it_scores(family, trained, tmp_path):
    """Verified by the export itself; its golden answers are those of the model."""
    options = dataclasses.replace(trained.experiment.export, batch_buckets=(1, 2))
    experiment = dataclasses.replace(trained.experiment, model=family, export=options)
    parameters = task.initialize(family, trained.schema, jax.random.key(1))
    published = export(
        trained, tmp_path, experiment=experiment, parameters=jax.device_get(parameters)
    )
    written = json.loads((published / "assets.extra" / "golden.json").read_text())
    ids = [reference.prepare(row["values"], trained.vocabulary, 64) for row in written["rows"]]
    histories = np.array([each + [0] * (64 - len(each)) for each in ids], np.int32)
    every = experiments.scores(family, trained.schema, parameters, histories).copy()
    for row, seen, scores in zip(written["rows"], ids, every, strict=True):
        scores[seen] = -np.inf
        best = np.argsort(-scores, kind="stable")[: min(10, np.isfinite(scores).sum())]
        np.testing.assert_array_equal(row["answer"]["ids"][: len(best)], best)


def with_genres(trained) -> tuple[Schema, dict[str, np.ndarray]]:
    """The schema with an attribute of items; constants that say which items have events, and it."""
    genre = Feature("genre", "feature", "int32", True, "genre", 6, 2, table="item")
    generator, rows = np.random.default_rng(0), 128
    events = np.arange(rows) % 5 * (np.arange(rows) < len(trained.vocabulary))
    return Schema((*trained.schema.features, genre)), {
        "constants/counts": events.astype(np.int32),
        "constants/shares": (events / events.sum()).astype(np.float32),
        "constants/genre": generator.integers(0, 6, (rows, 2)).astype(np.int32),
    }


TOWERS = TwoTower(width=8, hidden=8, attributes=("genre",), max_length=8)


@pytest.mark.parametrize(
    ("family", "prefix"),
    [(TOWERS, ""), (RetrieveRank(retrieval=TOWERS, candidates=20, hidden=8), "retrieval/")],
    ids=["two towers", "retrieve, then rank"],
)
def test_constants_of_a_dataset_are_served_beside_what_was_learnt(
    trained, tmp_path, family, prefix
):
    """Verified: integers among the weights, items that have their attributes alone."""
    schema, constants = with_genres(trained)
    events = constants["constants/counts"]
    constants = {prefix + path: values for path, values in constants.items()}
    experiment = dataclasses.replace(trained.experiment, model=family)
    generator = np.random.default_rng(1)
    learnt = {
        path: array + 0.1 * generator.normal(size=array.shape).astype(np.float32)
        for path, array in task.initialize(family, schema, jax.random.key(1)).items()
        if not task.is_constant(path)
    }
    learnt = jax.device_get(learnt)
    published = export(
        trained, tmp_path, experiment=experiment, schema=schema, parameters=learnt | constants
    )
    golden = json.loads((published / "assets.extra" / "golden.json").read_text())
    answered = {item for row in golden["rows"] for item in row["answer"]["ids"]}
    assert any(events[item] == 0 for item in answered - {0})
    wrong = learnt | constants | {f"{prefix}constants/counts": np.ones(128, np.float32)}
    with pytest.raises(ExportError, match=r"constants/counts is float32\[128\] in the checkpoint"):
        export(trained, tmp_path, experiment=experiment, schema=schema, parameters=wrong)


def test_each_bucket_and_signature_has_a_warm_up_request(published):
    names = ("serving_default", "ids", "examples")
    found = {
        (request.model_spec.signature_name, tensor.tensor_shape.dim[0].size)
        for request in warmup.read(published)
        for tensor in request.inputs.values()
    }
    assert found == {(name, size) for name in names for size in (1, 2, 5)}


@pytest.mark.usefixtures("verified_elsewhere")
def test_a_failed_verification_publishes_nothing(trained, tmp_path, monkeypatch):
    write = saved_model.write

    def write_altered(directory, program, filtered, parameters, *arguments):
        altered = parameters | {"item/embedding": parameters["item/embedding"] * 1.001}
        write(directory, program, filtered, altered, *arguments)

    monkeypatch.setattr(saved_model, "write", write_altered)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    # Flags of the accelerator must not reach TensorFlow, which ends at one that it doesn't know.
    monkeypatch.setenv("XLA_FLAGS", "--xla_no_such_flag=1")
    with pytest.raises(ExportError, match=r"^case '.*', signature .* row 0.*JAX says"):
        export(trained, tmp_path / "workdir")
    # TensorFlow removes its own files when the process ends.
    left = [path.name for path in tmp_path.iterdir() if "autograph" not in path.name]
    assert left == []


@pytest.mark.parametrize("fault", ["list", "vocabulary", "not finite", "parameters"])
def test_bad_input_is_one_sentence_and_publishes_nothing(trained, tmp_path, fault):
    experiment = trained.experiment
    longer = dataclasses.replace(experiment.export, top_k=99)
    words = Vocabulary(trained.vocabulary.values[:-1], trained.vocabulary.counts[:-1])
    diverged = {path: np.full_like(a, np.nan) for path, a in trained.parameters.items()}
    changes, message = {
        "list": (
            {"experiment": dataclasses.replace(experiment, export=longer)},
            r"export\.top_k is 99, but the dataset has 48 items",
        ),
        "vocabulary": ({"vocabulary": words}, "has 49 rows, the schema says 50"),
        "not finite": ({"parameters": diverged}, "not finite"),
        "parameters": ({"parameters": {}}, "missing in the checkpoint"),
    }[fault]
    with pytest.raises((ExportError, ConfigError), match=message):
        export(trained, tmp_path, **changes)
    assert list(tmp_path.iterdir()) == []
