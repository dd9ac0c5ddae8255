"""The learning-rate finder: on curves whose rate is known, and on a model."""

import dataclasses

import numpy as np
import pytest

from podway.framework import config
from podway.framework.error import ConfigError
from podway.framework.training import rate_sweep
from podway.framework.training.optimizer import AdamW
from podway.framework.training.rate_sweep import Rising, Sweep, SweepError, suggest
from tests.framework.experiments import changed, walks
from tests.framework.meshes import losses
from tests.framework.training.test_sparse_run import MODEL as SPARSE


def seen(curve, steps: int = 200, noise: float = 0.02) -> Sweep:
    """What a sweep from 1e-6 to 1 would see where the loss at a rate is `curve` of its log10."""
    rates = 10.0 ** np.linspace(-6, 0, steps)
    draw = np.random.default_rng(0)
    losses = np.array([curve(x) for x in np.log10(rates)]) + noise * draw.normal(size=steps)
    stops = np.flatnonzero(losses > 1.5 * losses[0])
    end = int(stops[0]) + 1 if len(stops) else steps
    return Sweep(rates[:end], losses[:end], steps)


def falling_at(middle: float, bottom: float):
    """Falls from 4 to 2 about `middle`, and rises steeply above `bottom`."""

    def curve(x: float) -> float:
        return 4 - 2 / (1 + np.exp(-4 * (x - middle))) + np.exp(8 * (x - bottom) - 4)

    return curve


@pytest.mark.parametrize("middle", [-4.0, -3.0, -2.0])
def test_the_suggestion_is_where_the_loss_falls_fastest(middle):
    found = suggest(seen(falling_at(middle, middle + 1.5)))
    assert abs(np.log10(found.rate) - middle) < 0.35
    assert found.rate == found.steepest < found.lowest
    assert found.first > 3.9
    assert found.loss < 2.4
    assert found.note == ""


def test_it_lies_well_below_the_rate_of_the_lowest_loss():
    found = suggest(seen(lambda x: 4 - max(0, x + 3) ** 3 if x < -1.5 else 9))
    assert found.rate == pytest.approx(found.lowest / 3)


def test_a_loss_that_still_falls_is_noted():
    assert "try a higher --highest" in suggest(seen(lambda x: 4 - 2 / (1 + np.exp(-x)))).note


@pytest.mark.parametrize("curve", [lambda x: 4.0, lambda x: 4 + np.exp(x)])
def test_a_loss_that_never_falls_gives_no_suggestion(curve):
    with pytest.raises(SweepError, match=r"did not fall at any rate from 1e-06 to 1"):
        suggest(seen(curve))


def test_rates_rise_by_the_same_factor_and_sparse_tables_with_them(dataset):
    rising = Rising(AdamW(learning_rate=0.01), 1e-4, 1.0)
    rates = [float(rising.rate(step, 5)) for step in range(5)]
    np.testing.assert_allclose(rates, [1e-4, 1e-3, 1e-2, 1e-1, 1])
    assert [float(rising.decay(step, 5)) for step in (0, 2)] == pytest.approx([0.01, 1])
    found = rate_sweep.sweep(
        changed({"model": SPARSE}), dataset, lowest=1e-6, highest=1.0, steps=40
    )
    assert found.smoothed.min() < 0.95 * found.losses[0]


def test_a_model_learns_better_at_the_suggestion_than_far_from_it(dataset):
    experiment = changed({"model": {"heads": 2, "dropout": 0.0}})
    found = rate_sweep.sweep(experiment, dataset, highest=100.0, steps=100)
    assert found.losses[:5].mean() == pytest.approx(4.15, abs=0.1), "the lowest rate moves nothing"
    rate = suggest(found).rate

    def learnt(factor: float) -> float:
        optimizer = {"learning_rate": rate * factor, "warmup_steps": 5}
        return losses(dataset, {"optimizer": optimizer, "mesh": {"data": 1}})[-1]

    assert learnt(1.0) < min(learnt(0.01), learnt(1000.0)) - 0.3


def test_divergence_ends_the_sweep_and_from_the_start_it_is_an_error(dataset):
    ended = rate_sweep.sweep(walks(clip_norm=None), dataset, highest=1e12, steps=60)
    assert ended.diverged
    assert np.isfinite(ended.losses).all()
    assert suggest(ended).rate < ended.rates[-1] / 3
    with pytest.raises(SweepError, match=r"the loss is (nan|inf) after \d steps at rates up to"):
        rate_sweep.sweep(walks(), dataset, lowest=1e20, highest=1e30, steps=20)


@dataclasses.dataclass(frozen=True)
class Own(config.Optimizer):
    """Of a user, without a rate."""


def test_what_cannot_be_swept_is_refused(dataset):
    for message, experiment, options in [
        ("Own has no learning rate", dataclasses.replace(walks(), optimizer=Own()), {}),
        ("--lowest is 1 and --highest 0.1", walks(), {"lowest": 1.0, "highest": 0.1}),
        ("--steps is 3", walks(), {"steps": 3}),
    ]:
        with pytest.raises(ConfigError, match=message):
            rate_sweep.sweep(experiment, dataset, **options)
