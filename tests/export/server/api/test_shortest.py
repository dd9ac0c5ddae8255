"""The numbers of JSON, against NumPy's own text of each."""

import numpy as np
import pytest

from podway.export.server.api import shortest


@pytest.mark.parametrize("kind", ["bits", "scores", "decimals", "powers"])
def test_each_is_the_number_whose_text_numpy_writes(kind):
    draw, count = np.random.default_rng(0), 20_000
    scores = draw.standard_normal(count) * 10.0 ** draw.integers(-8, 9, count)
    array = {
        "bits": draw.integers(0, 1 << 32, count, dtype=np.uint32).view(np.float32),
        "scores": scores,
        "decimals": np.round(scores, 3),
        "powers": 2.0 ** draw.integers(-40, 41, count),
    }[kind].astype(np.float32)
    wanted = [str(value) for value in array]
    found = shortest.floats(array.reshape(-1, 10))
    assert [str(value) for value in found] == [str(float(text)) for text in wanted]
    assert found[:7] == shortest.floats(array[:7]) or np.isnan(array[:7]).any()


def test_what_has_no_digits_is_left_as_it_is():
    few = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, 3.4028235e38, 0.1], np.float32)
    many = np.tile(few, 100)
    assert [str(value) for value in shortest.floats(many)][:8] == [
        *("0.0", "-0.0", "inf", "-inf", "nan", "1e-45", "3.4028235e+38", "0.1")
    ]
