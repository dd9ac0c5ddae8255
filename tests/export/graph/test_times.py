"""A model that reads times: what its requests bring, what is verified, and how it is served."""

import dataclasses
import json
import shutil

import grpc
import jax
import numpy as np
import pytest
import tensorflow as tf

from podway.export import jax_extras, stage
from podway.export.error import ExportError
from podway.export.graph.features import MISSING_TIME
from podway.export.layout import GOLDEN, MANIFEST
from podway.export.served.recommender import ServedRecommender
from podway.export.verification import sessions, verify
from podway.framework import task
from podway.framework.models.hstu import Hstu
from tests.export.conftest import VALUES, Trained
from tests.export.server.conftest import Site, predict_request, running
from tests.framework import experiments

MODEL = Hstu(width=8, blocks=1, max_length=8, dropout=0.0, time_buckets=64)
HISTORY = ["item 1", "item 7", "never seen", "item 3"]
TIMES = [1_500_000_000, 1_500_000_060, 1_500_000_090, 1_600_000_000]


@pytest.fixture(scope="module")
def timed(trained) -> Trained:
    options = dataclasses.replace(
        trained.experiment.export, candidate_filter=True, beside=("jax-export",)
    )
    experiment = dataclasses.replace(trained.experiment, name="timed", model=MODEL, export=options)
    parameters = task.initialize(MODEL, trained.schema, jax.random.key(0))
    parameters = {
        path: each + 3 * jax.random.normal(jax.random.key(1), each.shape)
        if path.endswith("elapsed/bias")
        else each
        for path, each in parameters.items()
    }
    counts = (0, 0, *[1] * len(VALUES))  # what is unknown was never trained
    vocabulary = dataclasses.replace(trained.vocabulary, counts=counts)
    return dataclasses.replace(
        trained,
        experiment=experiment,
        parameters=jax.device_get(parameters),
        vocabulary=vocabulary,
    )


@pytest.fixture(scope="module")
def model(timed, tmp_path_factory):
    return stage.export(
        ServedRecommender(timed.experiment, timed.schema, timed.vocabulary),
        parameters=timed.parameters,
        inputs={"run": "r1", "dataset": "d1"},
        workdir=tmp_path_factory.mktemp("timed"),
    )


@pytest.fixture(scope="module")
def signatures(model):
    return sessions.load(model)


def words(*rows):
    return np.array([[value.encode() for value in row] for row in rows], object)


def ask(signatures, history, times, name="serving_default", **others):
    given = {"history": history, "times": np.array(times, np.int64), **others}
    found = sessions.run(signatures[name], given, "")
    return found["item"].tolist(), found["score"]


def best(timed, history, times):
    """The ten best scores, by sorting in NumPy those of the model itself."""
    known = [at for at, value in enumerate(history) if value in VALUES]
    ids = [VALUES.index(history[at]) + 2 for at in known]
    since = [times[at] - times[known[0]] for at in known]
    given = [np.array([each + [0] * (9 - len(each))]) for each in (ids, since)]
    scores = experiments.scores(MODEL, timed.schema, timed.parameters, given[0], time=given[1])[0]
    left = [item for item in range(2, len(VALUES) + 2) if item not in ids]
    order = sorted(left, key=lambda item: (-scores[item], item))[:10]
    return [VALUES[item - 2].encode() for item in order], scores[order]


def test_times_reach_the_scores(timed, signatures):
    for times in (TIMES, [5, 6, 7, 8], [0, 0, 0, 2**36]):
        items, scores = ask(signatures, words(HISTORY), [times])
        wanted, theirs = best(timed, HISTORY, np.minimum(times, 2**31 - 1).tolist())
        assert items == [wanted]
        np.testing.assert_allclose(scores[0], theirs, atol=1e-5)
    plain, other = (ask(signatures, words(HISTORY), [t])[1] for t in (TIMES, [5, 6, 7, 8]))
    assert np.abs(plain - other).max() > 1e-3


def test_all_signatures_answer_alike(signatures):
    items, scores = ask(signatures, words(HISTORY), [TIMES])
    ids = np.array([[VALUES.index(each) + 2 if each in VALUES else 1 for each in HISTORY]])
    assert ask(signatures, ids, [TIMES], "ids")[1].tolist() == scores.tolist()
    none = words([""])
    lists = ask(signatures, words(HISTORY), [TIMES], "filtered", allow=none, deny=none)
    assert (lists[0], lists[1].tolist()) == (items, scores.tolist())
    padded = words(["", *HISTORY[:2], "", *HISTORY[2:], ""])
    times = [[7, *TIMES[:2], MISSING_TIME, *TIMES[2:], 0]]
    assert ask(signatures, padded, times)[1].tolist() == scores.tolist()
    example = tf.train.Example()
    example.features.feature["history"].bytes_list.value.extend(words(HISTORY)[0])
    example.features.feature["times"].int64_list.value.extend(TIMES)
    serialized = np.array([example.SerializeToString()], object)
    found = sessions.run(signatures["examples"], {"examples": serialized}, "")
    assert found["score"].tolist() == scores.tolist()


def test_times_of_another_shape_are_an_error(signatures):
    with pytest.raises(ExportError, match=r"times has another shape than history; give each event"):
        ask(signatures, words(HISTORY), [TIMES[:3]])
    with pytest.raises(ExportError, match="times has no value for an event of history"):
        ask(signatures, words(HISTORY), [[*TIMES[:3], MISSING_TIME]])
    for unit in (1_000, 1_000_000):
        with pytest.raises(ExportError, match="whole seconds since 1970, and this one lies beyond"):
            ask(signatures, words(HISTORY), [[1_700_000_000 * unit + at for at in range(4)]])
    example = tf.train.Example()
    example.features.feature["history"].bytes_list.value.extend(words(HISTORY)[0])
    example.features.feature["times"].int64_list.value.extend(TIMES[:3])
    serialized = np.array([example.SerializeToString()], object)
    with pytest.raises(ExportError, match="not as many values of times as of history"):
        sessions.run(signatures["examples"], {"examples": serialized}, "")


def test_the_signatures_say_that_they_take_times(model):
    found = tf.saved_model.load(str(model)).signatures
    for name, others in (("serving_default", []), ("ids", []), ("filtered", ["allow", "deny"])):
        _, inputs = found[name].structured_input_signature
        assert set(inputs) == {"history", "times", *others}
        assert inputs["times"] == tf.TensorSpec([None, None], tf.int64, "times")
    details = json.loads((model / MANIFEST).read_text())["details"]
    assert details["times"] is True
    assert details["padding"]["ids"] == {"history": 0, "times": MISSING_TIME}


def test_it_is_verified_by_the_golden_times(model, tmp_path):
    assert "20 cases and 12 warm-up requests" in verify.verify(model)
    copy = shutil.copytree(model, tmp_path / "copy")
    golden = json.loads((copy / GOLDEN).read_text())
    row = next(row for row in golden["rows"] if len(row["ids"]) == 3 and min(row["ids"]) > 1)
    row["times"][1] += 10**9
    row["times"][2] += 10**9
    (copy / GOLDEN).write_text(json.dumps(golden))
    with pytest.raises(ExportError, match="they differ by"):
        verify.verify(copy)


def test_what_jax_takes_of_it_takes_times(timed, model):
    function = jax_extras.load_function(model)
    module_length = timed.experiment.export.max_history
    item, time = np.zeros((2, 1, module_length), np.int32)
    item[0, :2], time[0, :2] = (8, 9), (0, 60)
    scores, _ = function(timed.parameters, item, time)
    ids = ask(sessions.load(model), item.astype(np.int64), time + 5, "ids")[1]
    np.testing.assert_allclose(scores, ids, atol=1e-5)


@pytest.fixture(scope="module")
def client(model, tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("site"), {1: model})
    site.put(1)
    site.ask_for_versions(1)
    with running(site) as client:
        client.wait_for(lambda: client.states() == {1: "AVAILABLE"}, 120)
        yield client


def test_it_is_served_by_rest_and_grpc(client, signatures):
    items, scores = ask(signatures, words(HISTORY), [TIMES])
    row = {"history": HISTORY, "times": TIMES}
    status, answer = client.rest("/v1/models/m:predict", {"instances": [row]})
    assert status == 200
    assert [each.encode() for each in answer["predictions"][0]["item"]] == items[0]
    np.testing.assert_allclose(answer["predictions"][0]["score"], scores[0], atol=1e-5)
    request = predict_request(history=[HISTORY], times=np.array([TIMES]))
    found = client.prediction.Predict(request).outputs
    assert list(found["item"].string_val) == items[0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"history": HISTORY}, "times"),
        ({"history": HISTORY, "times": TIMES[:3]}, "times has another shape than history"),
        ({"history": HISTORY, "times": [*TIMES[:3], 1.5]}, "1.5"),
    ],
)
def test_a_request_without_its_times_is_refused(client, row, message):
    status, answer = client.rest("/v1/models/m:predict", {"instances": [row]})
    assert (status, message in answer["error"]) == (400, True), answer
    if 1.5 in row.get("times", ()):
        return
    inputs = {name: np.array([each]) for name, each in row.items()}
    inputs["history"] = inputs["history"].tolist()
    with pytest.raises(grpc.RpcError, match=message) as error:
        client.prediction.Predict(predict_request(**inputs))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
