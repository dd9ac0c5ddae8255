"""What the TPU's compiler makes of fetch, collect and update, for pods that are not here.

The batch of a chip stays the same from pod to pod: 256 examples of 200 ids.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding

from podway.framework.devices import topology
from podway.framework.devices.mesh import AXES, BATCH
from podway.framework.embedding import update
from podway.framework.embedding.lookup import Lookup
from podway.framework.embedding.optimizer import Adagrad, RowOptimizer, RowWiseAdagrad
from podway.framework.embedding.plan import TablePlan, exchanges
from podway.framework.embedding.table import Embedding, Table
from podway.framework.preflight import collectives, hlo, work

pytest.importorskip("libtpu", reason="compiling for TPU needs libtpu: podway[preflight]")

EXAMPLES, LENGTH, WIDTH = 256, 200, 128
ROWS_OF_A_CHIP = EXAMPLES * LENGTH * WIDTH * 4
"""Bytes of the rows that a chip's examples name."""


ROW_WISE = RowWiseAdagrad()


class Compiled(NamedTuple):
    plan: TablePlan
    hops: list
    module: hlo.Module
    memory: object

    @property
    def collectives(self):
        return collectives.find(self.module, dict(self.plan.mesh.shape))

    @property
    def wire(self) -> float:
        """Bytes that a chip sends."""
        return sum(each.wire_bytes for each in self.collectives)

    def in_place(self, instruction: hlo.Instruction) -> bool:
        """Whether it writes rows into an array where that lies."""
        while instruction.opcode == "fusion":
            inside = self.module.computations[instruction.called[0]]
            instruction = next(each for each in inside.values() if each.root)
        return instruction.opcode == "scatter"


@functools.cache
def compiled(
    pod: str, rows: int, exchange: str = "auto", optimizer: RowOptimizer = ROW_WISE
) -> Compiled:
    devices = np.array(topology.devices(topology.parse(pod)))
    mesh = jax.sharding.Mesh(
        devices.reshape(1, -1, 1, 1), AXES, axis_types=(AxisType.Auto,) * len(AXES)
    )
    options = Embedding(optimizer, placement="sharded", exchange=exchange)  # type: ignore[arg-type]
    table = Table(rows, WIDTH, options)
    plan = TablePlan({"item": table}, mesh)

    def placed(shape, dtype, sharding=None):
        sharding = sharding or plan.sharding("item")
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    def step(tables, slots, ids):
        lookups = {"item": Lookup("item", ids)}
        fetched = update.fetch(plan, tables, lookups)
        gradients = jax.grad(lambda rows: jnp.sin(rows["item"]).sum())(fetched.rows)
        collected = update.collect(plan, lookups, gradients, fetched.residual)
        scale = jax.lax.rsqrt(collected.squared_norm)
        new = update.update(plan, tables, slots, collected, step=0, scale=scale)
        return *new, fetched.metrics

    ids = placed((mesh.size * EXAMPLES, LENGTH), jnp.int32, NamedSharding(mesh, BATCH))
    slots = {name: placed(each.shape, each.dtype) for name, each in table.slots().items()}
    program = (
        jax.jit(step, donate_argnums=(0, 1))
        .lower({"item": placed(table.shape, jnp.float32)}, {"item": slots}, ids)
        .compile()
    )
    ((hops, _),) = exchanges(plan, {"item": Lookup("item", ids)})  # type: ignore[arg-type]
    return Compiled(plan, hops, hlo.parse(program.as_text()), program.memory_analysis())


def check_collectives(found: Compiled) -> None:
    """Ids there, rows back, gradients there, once for each hop; the rest are single numbers."""
    large = [each for each in found.collectives if each.bytes > 1024]
    assert {each.kind for each in large} == {"all-to-all"}
    assert len(large) == 3 * len(found.hops)
    assert all(each.times == 1 for each in large)
    # Not as large as the table's part of a chip, nor as a few chips' part of the global batch.
    part = found.plan.tables["item"].bytes / found.plan.mesh.size
    assert all(each.bytes < min(part, 4 * ROWS_OF_A_CHIP) for each in large)


def check_memory(found: Compiled, gigabytes: float) -> None:
    """Tables and slots lie where they lay; all fits."""
    table = found.plan.tables["item"]
    state = table.bytes + sum(4 * math.prod(each.shape) for each in table.slots().values())
    memory = found.memory
    assert memory.alias_size_in_bytes >= state // found.plan.mesh.size  # type: ignore[attr-defined]
    assert memory.temp_size_in_bytes < 16 * ROWS_OF_A_CHIP  # type: ignore[attr-defined]
    total = memory.argument_size_in_bytes + memory.temp_size_in_bytes  # type: ignore[attr-defined]
    assert total < gigabytes * 2**30


@pytest.mark.slow
def test_no_part_of_a_step_grows_with_the_table():
    """Ten times the rows: the same bytes on the wire, and the same to and from memory."""
    found = [compiled("v5e:4x4", rows, "auto", Adagrad()) for rows in (2**24, 10 * 2**24)]
    traffic = []
    for each in found:
        check_collectives(each)
        writes, rest = [], 0.0
        for piece in work.pieces(each.module):
            if each.in_place(piece.instruction) and not piece.instruction.results[0].on_chip:
                writes.append(piece.instruction.results[0].dims)
            else:
                rest += piece.bytes
        # The table and its accumulators, and no other array of that size.
        assert writes == [(each.plan.tables["item"].places // 16, WIDTH)] * 2
        assert rest < 20 * ROWS_OF_A_CHIP < each.plan.tables["item"].bytes / 16
        traffic.append(rest)
    assert traffic[0] == pytest.approx(traffic[1], rel=0.01)
    assert found[0].wire == found[1].wire


@pytest.mark.slow
def test_a_billion_rows_on_256_chips_of_16_gigabytes():
    few, many = compiled("v5e:4x4", 2**24), compiled("v5e:16x16", 10**9)
    check_collectives(many)
    check_memory(many, 15.75)
    assert many.wire < 2.5 * few.wire


@pytest.mark.extensive
def test_a_billion_rows_on_512_chips():
    few, many = compiled("v5p:2x2x4", 2**24), compiled("v5p:8x8x8", 10**9)
    check_collectives(many)
    check_memory(many, 95.7)
    assert many.wire < 2.5 * few.wire


@pytest.mark.extensive
def test_4096_chips_in_two_hops():
    few, many = compiled("v5p:2x2x4", 2**24), compiled("v5p:16x16x16", 16 * 10**8)
    assert len(many.hops) == 2
    check_collectives(many)
    check_memory(many, 95.7)
    assert many.wire < 2.5 * few.wire
    same = compiled("v5p:4x4x16", 10**9, "two_hop")
    assert many.wire < 1.3 * same.wire


@pytest.mark.slow
def test_ragged_compiles_where_the_chip_can():
    found = compiled("v5p:2x2x4", 2**24, "ragged")
    large = [each.kind for each in found.collectives if each.bytes > 1024]
    assert large == ["ragged-all-to-all"] * 3
    check_memory(found, 95.7)
