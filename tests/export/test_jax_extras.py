"""What JAX takes of a published model, and that it answers as the served one does."""

import jax
import numpy as np
import pytest

from podway.export import jax_extras
from podway.export.error import ExportError
from podway.export.lowering import recommender
from podway.export.verification import sessions
from podway.framework import artifact
from tests.export.conftest import SIZE


@pytest.mark.parametrize("rows", [1, 7])
def test_the_function_and_the_weights_answer_as_the_server_does(complete, trained, rows):
    weights = jax_extras.load_weights(complete)
    assert weights.keys() == trained.parameters.keys()
    for path, array in weights.items():
        np.testing.assert_array_equal(array, trained.parameters[path])
        assert array.dtype == trained.parameters[path].dtype
    draw = np.random.default_rng(rows)
    history = np.zeros((rows, 64), np.int32)
    history[:, :5] = draw.integers(2, SIZE, (rows, 5))
    scores, ids = jax_extras.load_function(complete)(weights, history)
    function = recommender.recommend(trained.experiment.model, trained.schema, 10)
    for found, wanted in zip(
        (scores, ids), jax.jit(function)(trained.parameters, history), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    signature = sessions.load(complete)["ids"]
    served = sessions.run(signature, {"history": history.astype(np.int64)}, "")
    np.testing.assert_array_equal(ids, served["item"])
    np.testing.assert_allclose(scores, served["score"], rtol=1e-5, atol=1e-6)


def test_they_are_hashed_like_all_else_of_a_model(complete):
    manifest = artifact.read(complete, "model", manifest="assets.extra/export.json")
    files = {file.path for file in manifest.files}
    assert jax_extras.FUNCTION in files
    assert any(path.startswith(jax_extras.WEIGHTS) for path in files)


def test_they_are_there_on_request_only(published):
    for load, part in (
        (jax_extras.load_function, "jax-export"),
        (jax_extras.load_weights, "weights"),
    ):
        with pytest.raises(ExportError, match=f"--export.beside {part}"):
            load(published)
