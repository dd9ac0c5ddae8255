import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from podway.framework.devices import topology
from podway.framework.preflight import collectives, hlo, work
from podway.framework.training import flops


def mesh_of(name, shape, axes, slices=1):
    pod = topology.parse(name, slices)
    return Mesh(np.array(topology.devices(pod)).reshape(shape), axes)


def compiled(function, mesh, *arguments) -> str:
    """Compiles for the mesh; arguments are (shape, spec)."""
    shapes = [
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, PartitionSpec(*spec)))
        for shape, spec in arguments
    ]
    return jax.jit(function).lower(*shapes).compile().as_text() or ""


def found(text, mesh):
    return collectives.find(hlo.parse(text), mesh.shape)


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("all-gather", 700),
        ("all-reduce", 175),
        ("reduce-scatter", 87.5),
        ("all-to-all", 87.5),
        ("ragged-all-to-all", 87.5),
        ("collective-permute", 100),
        ("collective-broadcast", 100),
    ],
)
def test_bytes_that_each_of_eight_devices_sends_of_100(kind, sent):
    assert collectives.wire_bytes(kind, 100, 8) == sent
    assert collectives.wire_bytes(kind, 100, 1) == 0


def instruction(attributes):
    line = f"  %r = f32[8]{{0}} all-reduce(%x), channel_id=1, {attributes}, to_apply=%add"
    text = f"ENTRY %main (x: f32[8]) -> f32[8] {{\n  %x = f32[8]{{0}} parameter(0)\n{line}\n}}\n"
    return hlo.parse(text).computations["main"]["r"]


@pytest.mark.parametrize(
    ("attributes", "groups", "axes"),
    [
        ("replica_groups={{0,1},{2,3},{4,5},{6,7}}", [[0, 1], [2, 3], [4, 5], [6, 7]], ("c",)),
        ("replica_groups=[4,2]<=[8]", [[0, 1], [2, 3], [4, 5], [6, 7]], ("c",)),
        ("replica_groups=[2,4]<=[2,2,2]T(1,0,2)", [[0, 1, 4, 5], [2, 3, 6, 7]], ("a", "c")),
        ("replica_groups=[1,8]<=[8]", [list(range(8))], ("a", "b", "c")),
        ("replica_groups={}", [list(range(8))], ("a", "b", "c")),
        (
            "replica_groups=mesh['x'=4,'y'=2], device_ids=([2,4]T(1,0)) {'y'}",
            [[0, 4], [1, 5], [2, 6], [3, 7]],
            ("a",),
        ),
        ("replica_groups=mesh['x'=4,'y'=2] {'x'}", [[0, 2, 4, 6], [1, 3, 5, 7]], ("a", "b")),
        ("replica_groups=mesh['x'=8] {'x':(2)2}", [[0, 2], [1, 3], [4, 6], [5, 7]], ("b",)),
        ("replica_groups={{0,1,2},{3,4,5},{6},{7}}", [[0, 1, 2], [3, 4, 5], [6], [7]], ("?",)),
    ],
)
def test_groups_in_each_notation_and_the_axes_that_they_are(attributes, groups, axes):
    read = collectives.device_groups(instruction(attributes), 8)
    assert read == groups
    assert collectives.axes_of(read, {"a": 2, "b": 2, "c": 2}) == axes


def test_known_collectives_of_a_program_for_a_tpu():
    mesh = mesh_of("v5e:2x4", (2, 4), ("a", "b"))

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(PartitionSpec(("a", "b")), PartitionSpec("b")),
        out_specs=PartitionSpec(("a", "b")),
        check_vma=False,
    )
    def program(x, w):
        weights = lax.all_gather(w, "b", axis=0, tiled=True)

        def step(x, _):
            x = lax.psum(jnp.sin(x), "a")
            return lax.all_to_all(x, "b", 0, 0, tiled=True), None

        x = lax.scan(step, x, None, length=6)[0] + weights
        x = lax.psum_scatter(x, "b", scatter_dimension=0, tiled=True)
        return lax.ppermute(x, "a", [(0, 1), (1, 0)])

    text = compiled(program, mesh, ((8 * 256, 256), (("a", "b"),)), ((256, 256), ("b",)))
    whole = 256 * 256 * 4
    table = {
        (each.kind, each.axes): (each.bytes, each.times, each.wire_bytes)
        for each in found(text, mesh)
    }
    assert table == {
        ("all-reduce", ("a",)): (whole, 6, 6 * whole),
        ("all-to-all", ("b",)): (whole, 6, 6 * whole * 3 / 4),
        ("all-gather", ("b",)): (whole / 4, 1, whole * 3 / 4),
        ("reduce-scatter", ("b",)): (whole, 1, whole * 3 / 4),
        ("collective-permute", ("a",)): (whole / 4, 1, whole / 4),
    }


def test_between_slices_all_kinds_are_seen_as_such():
    mesh = mesh_of("v5e:2x2", (3, 4), ("slice", "b"), slices=3)

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=PartitionSpec(("slice", "b")),
        out_specs=PartitionSpec(("slice", "b")),
        check_vma=False,
    )
    def program(x):
        x = lax.psum(x, "slice")
        x = lax.all_to_all(x, "slice", 0, 0, tiled=True)
        return lax.all_gather(x, "slice", axis=0, tiled=True)

    text = compiled(program, mesh, ((12 * 384, 128), (("slice", "b"),)))
    whole = 384 * 128 * 4
    table = {(each.network, each.kind, each.axes): each.wire_bytes for each in found(text, mesh)}
    assert table == {
        ("dcn", "all-reduce", ("slice",)): pytest.approx(whole * 4 / 3),
        ("dcn", "all-to-all", ("slice",)): pytest.approx(whole * 2 / 3),
        ("dcn", "all-gather", ("slice",)): whole * 2,
    }


def layers(unroll, mesh, length=2, width=512):
    """A training step of a fully sharded multi-layer perceptron, compiled for the mesh."""

    def step(weights, x):
        @jax.checkpoint
        def layer(x, w):
            x = jnp.sin(x @ w["up"]) @ w["down"]
            place = NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
            return lax.with_sharding_constraint(x, place), None

        def loss(weights):
            return (lax.scan(layer, x, weights, unroll=unroll)[0] ** 2).mean()

        return jax.tree.map(lambda w, g: w - g, weights, jax.grad(loss)(weights))

    def shape(dims, *spec):
        place = NamedSharding(mesh, PartitionSpec(*spec))
        return jax.ShapeDtypeStruct(dims, jnp.bfloat16, sharding=place)

    weights = {
        "up": shape((length, width, 4 * width), None, "fsdp", None),
        "down": shape((length, 4 * width, width), None, "fsdp", None),
    }
    x = shape((4 * mesh.size, 128, width), ("data", "fsdp"))
    return jax.jit(step, donate_argnums=0).lower(weights, x).compile().as_text() or ""


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        pytest.param("v5e:4x4", (4, 4), marks=pytest.mark.slow),
        pytest.param("v5e:16x16", (16, 16), marks=pytest.mark.extensive),
    ],
)
def test_a_loop_counts_as_the_program_without_it(name, shape):
    mesh = mesh_of(name, shape, ("data", "fsdp"))
    loop, unrolled = layers(1, mesh), layers(2, mesh)
    assert " while(" in loop
    assert " while(" not in unrolled
    # The TPU spreads collectives over several fusions, each of which shows them.
    assert "AsyncCollectiveStart" in loop + unrolled
    totals = [collectives.total(found(text, mesh)) for text in (loop, unrolled)]
    assert {kind for _, kind, _ in totals[0]} == {"all-gather", "reduce-scatter", "all-reduce"}
    assert totals[0] == totals[1]


def test_flops_of_products_that_the_tpu_writes_as_convolutions():
    mesh = mesh_of("v5e:1x1", (1,), ("a",))

    def program(x, y, z, w):
        x = lax.scan(lambda x, _: (jnp.sin(x @ w), None), x, None, length=6)[0]
        x = jnp.einsum("bij,bkj->bik", x, y)
        return jnp.einsum("bij,bjk->ik", x, z)

    arguments = [((16, 256, 256), ()) for _ in range(3)] + [((256, 256), ())]
    text = compiled(program, mesh, *arguments)
    assert "lhs_dilate" in text
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape, _ in arguments]
    wanted = flops.count(jax.jit(program).trace(*shapes).jaxpr.jaxpr)
    assert wanted == (6 + 2) * 2 * 16 * 256**3
    assert work.flops(hlo.parse(text)) == wanted
