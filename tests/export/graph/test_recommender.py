import pathlib

import numpy as np
import pytest
import tensorflow as tf

from podway.export import contract
from podway.export.cases import reference
from podway.export.error import ExportError
from podway.export.graph import lowered, saved_model
from podway.export.graph.recommender import RecommenderModule, pack
from podway.export.lowering import stablehlo
from podway.export.lowering.recommender import LOWEST, recommend
from podway.export.verification import sessions
from podway.framework.schema.schema import Vocabulary
from tests.export.conftest import ODD_VALUES, VALUES, vocabulary


@pytest.fixture(scope="module")
def program(trained):
    function = recommend(trained.experiment.model, trained.schema, 10)
    return stablehlo.lower(function, trained.parameters, 64, "2.18")


@pytest.fixture
def build(trained, program, tmp_path):
    """Recommender of a vocabulary, in memory."""

    def build(words: Vocabulary) -> RecommenderModule:
        values = pathlib.Path(tmp_path) / "values"
        values.write_bytes(tf.io.serialize_tensor(list(words.values)).numpy())
        agreed = contract.resolve(trained.experiment.export, trained.schema)
        return RecommenderModule(program, None, trained.parameters, words, values, agreed, {})

    return build


@pytest.mark.parametrize("columns", [0, 1, 3, 4, 9])
def test_pack_keeps_the_latest_ids_in_order(columns):
    rows = np.random.default_rng(0).integers(0, 3, (40, columns)).astype(np.int32)
    packed = pack(tf.constant(rows), 4).numpy()
    wanted = [[item for item in row if item][-4:] for row in rows.tolist()]
    assert packed.tolist() == [row + [0] * (4 - len(row)) for row in wanted]


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [
        (0, []),
        (1, [1]),
        (2, [2, 2]),
        (3, [5] * 3),
        (5, [5] * 5),
        (6, [5] * 5 + [1]),
        (12, [5] * 10 + [2] * 2),
        (13, [5] * 13),
    ],
)
def test_only_bucket_sizes_reach_the_compiler(build, monkeypatch, rows, sizes):
    def call(_, ids):
        """In place of the model: each row's score is the size of its batch, its id the row's."""
        size = tf.shape(ids)[0]
        return [tf.fill([size, 10], tf.cast(size, tf.float32)), tf.repeat(ids[:, :1], 10, axis=1)]

    monkeypatch.setattr(lowered.LoweredModule, "_call", call)
    ids = tf.tile(tf.range(2, rows + 2)[:, None], [1, 64])
    scores, order = build(vocabulary(0))._lowered(ids)
    assert scores.shape == (rows, 10)
    assert scores[:, 0].numpy().tolist() == sizes
    assert order[:, 0].numpy().tolist() == list(range(2, rows + 2))


def test_unknown_values_count_only_where_their_id_was_trained(build):
    for events, alike in ((0, True), (3, False)):
        answer = build(vocabulary(events)).signatures()
        values = answer["serving_default"]
        known = values(history=tf.constant([["item 1", "item 2"]]))["score"].numpy()
        mixed = values(history=tf.constant([["item 1", "never seen", "item 2"]]))["score"].numpy()
        assert np.array_equal(known, mixed) == alike
        ids = answer["ids"]
        plain = tf.constant([[8, 9]], tf.int64)
        assert np.array_equal(ids(history=plain)["score"].numpy(), known)
        for unknown in (1, 50, -1, 2**40):
            odd = ids(history=tf.constant([[8, unknown, 9]], tf.int64))["score"].numpy()
            assert np.array_equal(odd, mixed)


def test_padding_is_ignored_wherever_it_stands(build):
    for name, rows in {
        "serving_default": [["item 1", "item 2", "", ""], ["", "item 1", "", "item 2"]],
        "ids": np.array([[8, 9, 0, 0], [0, 8, 0, 9]], np.int64),
    }.items():
        answer = build(vocabulary(3)).signatures()[name](history=tf.constant(rows))
        assert np.array_equal(*answer["score"].numpy())
        assert np.array_equal(*answer["item"].numpy())


def test_examples_are_histories_of_any_length(published):
    found = sessions.load(published)
    rows = [["item 1", "item 2"], [], ["item 3", *ODD_VALUES] * 12, ["never seen"]]
    requests = []
    for row in rows:
        example = tf.train.Example()
        if row:
            example.features.feature["history"].bytes_list.value.extend(
                [value.encode() for value in row]
            )
        requests.append(example.SerializeToString())
    width = max(map(len, rows))
    padded = [[value.encode() for value in row] + [b""] * (width - len(row)) for row in rows]
    plain = sessions.run(found["serving_default"], {"history": np.array(padded, object)}, "")
    examples = sessions.run(found["examples"], {"examples": np.array(requests, object)}, "")
    for name, values in plain.items():
        assert examples[name].tolist() == values.tolist()
    assert plain["item"][0].tolist() != plain["item"][1].tolist()
    none = sessions.run(found["examples"], {"examples": np.array([], object)}, "")
    assert none["item"].shape == (0, 10)


def test_values_of_any_bytes_are_looked_up_and_come_back(published):
    signatures = sessions.load(published)

    def signature(history):
        answer = sessions.run(signatures["serving_default"], {"history": history}, "")
        return answer["item"], answer["score"]

    others = [value.encode() for value in VALUES if value not in ODD_VALUES]
    items, scores = signature(np.array([others], object))
    assert {item.decode() for item in items[0, :5]} == set(ODD_VALUES)
    assert items[0, 5:].tolist() == [b""] * 5
    assert (scores[0, 5:] == LOWEST).all()
    items, _ = signature(np.array([[value.encode() for value in ODD_VALUES]], object))
    assert not {item.decode() for item in items[0]} & set(ODD_VALUES)


def test_the_signatures_say_what_they_take_and_give(published):
    found = tf.saved_model.load(str(published)).signatures
    assert set(found) == {"serving_default", "ids", "examples"}
    history = tf.TensorSpec([None, None], tf.string, "history")
    for name, dtype, spec in (
        ("serving_default", tf.string, history),
        ("ids", tf.int64, tf.TensorSpec([None, None], tf.int64, "history")),
        ("examples", tf.string, tf.TensorSpec([None], tf.string, "examples")),
    ):
        _, inputs = found[name].structured_input_signature
        assert inputs == {spec.name: spec}
        outputs = found[name].structured_outputs
        assert (outputs["item"].dtype, outputs["item"].shape[1]) == (dtype, 10)
        assert (outputs["score"].dtype, outputs["score"].shape[1]) == (tf.float32, 10)


@pytest.mark.parametrize(
    ("values", "message"),
    [(("", "", "a", "b", "a"), "'a' in rows 2 and 4"), (("", "", "a", ""), "'' in rows 0 and 3")],
)
def test_a_vocabulary_that_cannot_be_looked_up_in_is_refused(values, message, tmp_path):
    words = Vocabulary(values, (0,) * len(values))
    with pytest.raises(ExportError, match=message):
        saved_model.write(tmp_path / "m", None, None, {}, words, None, {})
    assert not (tmp_path / "m").exists()


def test_the_reference_of_the_graph_agrees_with_a_hand_made_case():
    words = Vocabulary(("", "", "a", "b", "c"), (0, 4, 1, 1, 1))
    assert reference.prepare(["a", "", "?", "c", "b", ""], words, 3) == [1, 4, 3]
    untrained = Vocabulary(words.values, (0, 0, 1, 1, 1))
    assert reference.prepare(["a", "", "?", "c", "b", ""], untrained, 3) == [2, 4, 3]
