import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from podway.framework import config
from podway.framework.compression.movement import Movement
from podway.framework.compression.prune import Magnitude, TwoOfFour, cubic, largest, two_of_four
from podway.framework.compression.tune import Tune
from podway.framework.error import ConfigError
from podway.framework.models.ease import Ease
from podway.framework.runs import run
from podway.framework.training import loop
from tests.framework import experiments


def test_the_smallest_become_zero_and_ties_go_by_place():
    scores = jnp.array([[3.0, 1.0], [1.0, 1.0], [0.0, 2.0]])
    assert largest(scores, 0.5).tolist() == [[True, False], [False, True], [False, True]]
    assert largest(scores, 0.0).all()
    assert int(largest(jnp.zeros((4, 5)), 0.25).sum()) == 15


def test_the_schedule_is_the_published_one():
    # Zhu & Gupta, equation 1: s_f + (s_i − s_f)(1 − (t − t0)/(nΔt))³ with s_i = 0.
    for progress, expected in [(0, 0), (0.1, 0), (0.4, 0.8 * (1 - 0.5**3)), (0.7, 0.8), (1, 0.8)]:
        np.testing.assert_allclose(cubic(0.8, 0.1, 0.7, progress), expected, atol=1e-6)


def test_two_of_four_along_the_inputs():
    column = np.array([4, -1, 3, 2, 0, 0, 0, 0], np.float32)
    kernel = np.stack([column, -column[::-1]], axis=1)
    stay = np.asarray(two_of_four(jnp.abs(kernel)))
    assert stay[:, 0].tolist() == [True, False, True, False, True, True, False, False]
    assert stay.reshape(2, 4, 2).sum(1).tolist() == [[2, 2], [2, 2]]
    stacked = np.asarray(two_of_four(jnp.abs(np.stack([kernel, kernel[::-1]]))))
    np.testing.assert_array_equal(stacked[0], stay)
    with pytest.raises(ConfigError, match="has 6 inputs, which four does not divide"):
        TwoOfFour().forward({"a/kernel": kernel[:6]}, 1.0)


def test_masked_weights_have_no_gradient_and_keep_their_magnitude():
    step = Magnitude(sparsity=0.5)
    weights = {"a/kernel": jnp.array([[1.0, -2.0], [0.5, 4.0]]), "a/bias": jnp.ones(2)}
    found = step.forward(weights, 1.0)
    assert found["a/kernel"].tolist() == [[0, -2], [0, 4]]
    assert found["a/bias"] is weights["a/bias"]
    gradient = jax.grad(lambda each: step.forward(each, 1.0)["a/kernel"].sum())(weights)
    assert gradient["a/kernel"].tolist() == [[0, 1], [0, 1]]


def test_wrong_fields_are_named():
    with pytest.raises(ConfigError, match=r"compression.sparsity is 1.0; give a share between"):
        Magnitude(sparsity=1.0)
    with pytest.raises(ConfigError, match=r"compression.begin and compression.end are 0.8 and 0.7"):
        Magnitude(begin=0.8)
    with pytest.raises(ConfigError, match=r"Ease is not trained in steps"):
        config.compressed(dataclasses.replace(experiments.walks(), model=Ease()), Tune())
    with pytest.raises(ConfigError, match=r"no matrix's path matches 'nothing'; there"):
        Magnitude(paths=("nothing",)).forward({"a/kernel": jnp.ones((2, 2))}, 1.0)


def zeros(parameters) -> dict[str, float]:
    return {p: float((np.asarray(a) == 0).mean()) for p, a in parameters.items() if "kernel" in p}


@pytest.fixture(scope="module")
def chain(walks, trained, dataset, workdir):
    """A model, pruned, then tuned."""
    pruned = config.compressed(walks, Magnitude(sparsity=0.75, steps=10))
    tuned = config.compressed(pruned, Tune(steps=6, learning_rate=0.5))
    runs = [trained]
    for each in (pruned, tuned):
        runs.append(loop.train(each, dataset, workdir, before=runs[-1]).directory)
    return runs


def test_a_run_is_of_the_pruned_weights_and_tuning_keeps_the_zeros(chain):
    first, pruned, tuned = (run.load(each)[2] for each in chain)
    assert max(zeros(first).values()) == 0
    for path, share in zeros(pruned).items():
        assert share == 0.75, path
        assert zeros(tuned)[path] == 0.75
        np.testing.assert_array_equal(tuned[path] == 0, pruned[path] == 0)
        assert (tuned[path] != pruned[path]).any()


def test_pruning_begins_with_the_weights_of_the_run_before(chain):
    first, pruned = (run.load(each)[2] for each in chain[:2])
    path = "blocks/0/up/kernel"
    stay = pruned[path] != 0
    assert np.corrcoef(first[path][stay], pruned[path][stay])[0, 1] > 0.9


def test_a_step_that_starts_at_random_keeps_no_zeros():
    @dataclasses.dataclass(frozen=True)
    class Fresh(config.Compression):
        trains = True

        @property
        def warm(self):
            return False

    weights = {"a/kernel": jnp.arange(8.0).reshape(2, 4)}
    kept = config.forward((Magnitude(), Tune()), weights, 0.0)
    assert int((kept["a/kernel"] == 0).sum()) == 4
    assert config.forward((Magnitude(), Fresh()), weights, 0.0) == weights


def test_scores_follow_what_the_loss_wants_of_each_weight():
    step = Movement(sparsity=0.5)
    weights = {"a/kernel": jnp.array([[1.0, -2.0], [0.5, 4.0]]), "a/bias": jnp.ones(2)}
    scores = step.added(weights)
    assert list(scores) == ["a/kernel/score"]
    scores = {"a/kernel/score": jnp.array([[0.3, -0.1], [0.2, -0.4]])}
    found = step.forward(weights | scores, 1.0)
    assert found["a/kernel"].tolist() == [[1, 0], [0.5, 0]]
    assert found.keys() == weights.keys()
    wanted = jnp.array([[1.0, 2.0], [3.0, -1.0]])  # dL/d(masked weight)
    gradient = jax.grad(lambda each: (wanted * step.forward(each, 1.0)["a/kernel"]).sum())(
        weights | scores
    )
    assert gradient["a/kernel"].tolist() == [[1, 0], [3, 0]]
    assert gradient["a/kernel/score"].tolist() == [[1, -4], [1.5, -4]]


def test_the_run_hands_on_no_scores(walks, trained, dataset, workdir):
    experiment = config.compressed(walks, Movement(sparsity=0.5, steps=10))
    directory = loop.train(experiment, dataset, workdir, before=trained).directory
    _, _, before = run.load(trained)
    _, _, parameters = run.load(directory)
    assert parameters.keys() == before.keys()
    assert set(zeros(parameters).values()) == {0.5}
    path = "blocks/0/up/kernel"
    smallest = np.abs(before[path]) <= np.median(np.abs(before[path]))
    assert (parameters[path][smallest] != 0).any()  # it is not by magnitude
