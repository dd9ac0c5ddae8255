"""Constant, near-equal, huge, tiny, single and missing numbers: one bin where it must, no error."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest

from podway.beam.features import fit
from podway.beam.report import histogram
from podway.beam.statistics import drift, numbers, quantiles
from podway.framework.config.features import Numeric, Quantiles
from podway.framework.config.limits import Limits

TINY = float(np.finfo(np.float32).smallest_subnormal)
CASES = {
    "none": [],
    "missing": [math.nan] * 3,
    "one": [7.0],
    "same time": [1_600_000_000_000_000.0] * 25,
    "one microsecond apart": [1_600_000_000_000_000.0, 1_600_000_000_000_001.0],
    "neighbours of float64": [1e16, np.nextafter(1e16, 2e16)],
    "a third": [1 / 3] * 7,
    "zeros": [0.0, -0.0],
    "ends of float32": [quantiles.LARGEST, -quantiles.LARGEST],
    "huge and equal": [quantiles.LARGEST] * 3,
    "beyond": [1e300, -1e300, math.inf],
    "subnormal": [0.0, TINY, 2 * TINY],
    "near-equal in float32": [16_777_216.0, 16_777_218.0],
    "one outlier": [0.0] * 1000 + [1e30],
}


@pytest.mark.parametrize("name", CASES)
def test_degenerate_numbers_are_described_compared_and_drawn(name):
    values = np.array(CASES[name])
    part = numbers.of(values)
    for kind in ("number", "time", "length"):
        described = json.loads(json.dumps(numbers.to_json(part, kind), allow_nan=False))
        counts, edges = (described["histogram"][key] for key in ("counts", "edges"))
        assert sum(counts) == np.count_nonzero(~np.isnan(values))
        assert len(edges) == len(counts) + 1
        assert edges == sorted(edges)
        if len(np.unique(values[~np.isnan(values)])) == 1:
            assert len(counts) == 1
        again = numbers.from_json(described)
        assert again.sketch.counts.tolist() == part.sketch.counts.tolist()
        found = drift.compare(described, described, Limits(rows=1))
        assert found.verdict in ("none", "unjudged")
    bars = histogram.binned({"train": part.sketch}, str)
    assert bars is None or sum(bars.counts["train"]) == part.sketch.count


@pytest.mark.parametrize("scale", ["standard", "log_standard"])
@pytest.mark.parametrize("name", CASES)
def test_degenerate_numbers_scale_to_numbers_of_a_bounded_size(name, scale):
    values = pa.array(np.clip(CASES[name], -quantiles.LARGEST, quantiles.LARGEST), pa.float32())
    for one in (Numeric("x", scale=scale), Quantiles("x", buckets=4)):
        fitted, _ = fit.fit(one, fit.observe(one, values), "events")
        applied = fit.apply(fitted, None, values).to_numpy(zero_copy_only=False)
        assert np.isfinite(applied).all()
        if isinstance(one, Numeric):
            # No number is further from the mean than √n deviations.
            assert np.abs(applied).max(initial=0) <= math.sqrt(len(values)) + 1
