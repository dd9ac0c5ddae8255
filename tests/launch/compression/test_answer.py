"""An answer compiled for a chip that is not there: bytes and time follow from the formats."""

import jax
import numpy as np
import pytest

from podway.export.lowering import recommender
from podway.framework import task
from podway.framework.devices import topology
from podway.framework.formats import int4, int8, matrix
from podway.framework.models.sasrec import SasRec
from podway.framework.schema.schema import FIRST_VALUE, Feature, Schema
from podway.launch.compression import answer

ITEMS, WIDTH, LENGTH = 100_000, 64, 8
TABLE = "item/embedding"
SCHEMA = Schema((Feature("item", "item", "int32", True, "item", ITEMS + FIRST_VALUE, LENGTH),))


def asked(quantize=None) -> answer.Answer:
    model = SasRec(width=WIDTH, blocks=1, max_length=LENGTH, dropout=0.0)

    def parameters():
        found = dict(task.initialize(model, SCHEMA, jax.random.key(0)))
        if quantize:
            found[TABLE] = quantize(found[TABLE])
        return matrix.spread(found)

    ids = jax.ShapeDtypeStruct((1, LENGTH), np.dtype(np.int32))
    function = recommender.recommend(model, SCHEMA, 10)
    return answer.Answer(function, jax.eval_shape(parameters), [ids])


@pytest.mark.slow
def test_a_stored_table_is_read_as_it_is_stored_on_a_tpu():
    pytest.importorskip("libtpu", reason="libtpu is missing: pip install 'podway[preflight]'")
    chip = topology.parse("v5e:1x1")
    plain, bytes_, halves = (
        answer.on_chip(asked(each), chip, 1) for each in (None, int8.quantize, int4.quantize)
    )
    table = 4 * ITEMS * WIDTH
    # It is laid out anew, and read once: never as often as it has blocks, nor in f32.
    for each, stored in ((plain, table), (bytes_, table / 4), (halves, table / 8)):
        assert stored < each.bytes < 2.3 * stored
    assert plain.bound == "memory"
    bandwidth = chip.accelerator.hbm_bandwidth
    assert plain.microseconds == pytest.approx(1e6 * plain.bytes / bandwidth, rel=0.1)
