"""Losses as pure functions of arrays."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from podway.framework.devices import mesh

CHUNK_ELEMENTS = {"cpu": 1 << 20, "gpu": 1 << 26, "tpu": 1 << 26}
"""Logits that exist at once on a device, by platform: on a CPU so few that its cache holds them."""
_LOWEST = float(jnp.finfo(jnp.float32).min)
"""Logit of a row that is left out. Not −inf, of which a block may have nothing else."""


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def linear_softmax_cross_entropy(
    hidden: Float[Array, "batch length width"],
    table: Float[Array, "rows width"],
    targets: Int[Array, "batch length"],
    weights: Bool[Array, "batch length"],
    first: int,
    last: int,
    devices: jax.sharding.Mesh | None = None,
) -> Float[Array, ""]:
    """Mean of −log softmax(hidden · tableᵀ)[target] (nats, f32) where the weight is true.

    The softmax runs over the rows first … last − 1 of the table; targets with weight lie there.
    Logits never exist as a whole: positions are taken in chunks of the length (the batch stays
    split among devices), and a chunk's gradients are computed while its logits are at hand, so the
    backward pass only scales them. (The idea of fused linear cross-entropy, Hsu et al. 2024,
    arXiv:2410.10989.) Where one position of each example has too many logits, rows are taken in
    blocks too, once for the normalizer and once more for the gradients (cut cross-entropy, Wijmans
    et al. 2024, arXiv:2411.09009): beyond the table and its gradient, memory does not grow with the
    rows.

    With the `devices` that share the batch, each adds up the table's gradient of its own positions,
    and all are added once, at the end; without them, the compiler does so with each chunk.
    """
    return _forward(hidden, table, targets, weights, first, last, devices)[0]


def _forward(
    hidden, table, targets, weights, first: int, last: int, devices: jax.sharding.Mesh | None
) -> Any:
    batch, length, width = hidden.shape
    rows = table.shape[0]
    platform = devices.devices.flat[0].platform if devices else jax.default_backend()
    parts = mesh.batch_parts(devices) if devices else 1
    size = max(1, min(length, CHUNK_ELEMENTS[platform] * parts // (batch * rows)))
    count = -(-length // size)

    def chunks(x: Array) -> Array:
        """[batch, length, …] → [count, batch, size, …]."""
        x = jnp.pad(x, [(0, 0), (0, count * size - length)] + [(0, 0)] * (x.ndim - 2))
        return jnp.moveaxis(x.reshape(batch, count, size, *x.shape[2:]), 1, 0)

    # Blocks of rows are cut across the parts of the table that devices along `tensor` hold.
    held = devices.shape["tensor"] if devices else 1
    held = held if rows % held == 0 else 1
    cut = _blocks(rows // held, batch * size * rows / (CHUNK_ELEMENTS[platform] * parts))
    row = jnp.arange(rows).reshape(held, cut, -1).swapaxes(0, 1)
    blocks = table.reshape(held, cut, -1, width).swapaxes(0, 1)
    scale = 1.0 / jnp.maximum(weights.sum(), 1)

    def logits_of(h: Array, block: Array, row: Array) -> Array:
        """[batch, size, held, rows of the block]."""
        logits = jnp.einsum("bsw,trw->bstr", h, block, preferred_element_type=jnp.float32)
        return jnp.where((row >= first) & (row < last), logits, _LOWEST)

    def of_table(gradient: Array, h: Array) -> Array:
        """What a chunk adds to a block's gradient, shaped as `start` below."""
        if parts == 1:
            whole = jnp.einsum("bsw,bstr->wtr", h, gradient, preferred_element_type=jnp.float32)
            return whole[None]
        gradient, h = (x.reshape(parts, batch // parts, *x.shape[1:]) for x in (gradient, h))
        return jnp.einsum("pbstr,pbsw->ptrw", gradient, h, preferred_element_type=jnp.float32)

    def step(total_and_table_gradient, chunk):
        total, table_gradient = total_and_table_gradient
        h, target, weight = (x[..., None, None] if x.ndim == 2 else x for x in chunk)

        def look(seen, block_and_row):
            top, normalizer, picked = seen
            logits, is_target = logits_of(h, *block_and_row), block_and_row[1] == target
            higher = jnp.maximum(top, logits.max((2, 3), keepdims=True))
            exponentials = jnp.exp(logits - higher)
            normalizer *= jnp.exp(top - higher)
            normalizer += exponentials.sum((2, 3), keepdims=True)
            picked += jnp.where(is_target, logits, 0.0).sum((2, 3), keepdims=True)
            return (higher, normalizer, picked), exponentials if cut == 1 else None

        def differentiate(hidden_gradient, block_and_row, exponentials=None):
            block, row = block_and_row
            if exponentials is None:
                exponentials = jnp.exp(logits_of(h, block, row) - top)
            gradient = exponentials / normalizer - (row == target)
            gradient = jnp.where(weight, gradient * scale, 0.0).astype(h.dtype)
            hidden_gradient += jnp.einsum("bstr,trw->bsw", gradient, block)
            return hidden_gradient, of_table(gradient, h)

        seen = jnp.full(target.shape, _LOWEST), *[jnp.zeros(target.shape)] * 2
        start = jnp.zeros_like(h)
        if cut == 1:
            only = blocks[0], row[0]
            (top, normalizer, picked), exponentials = look(seen, only)
            hidden_gradient, of_block = differentiate(start, only, exponentials)
            table_gradient += of_block[None]
        else:
            (top, normalizer, picked), _ = jax.lax.scan(look, seen, (blocks, row))
            hidden_gradient, of_blocks = jax.lax.scan(differentiate, start, (blocks, row))
            table_gradient += of_blocks
        # Not a product with the weights: a masked position may have any target.
        terms = jnp.where(weight, jnp.log(normalizer) + top - picked, 0.0)
        return (total + terms.sum(), table_gradient), hidden_gradient

    # The table's gradient, for each block and part. On one device its width comes first, so that
    # `h` is transposed for the product, not the larger `gradient`. On several it comes last, as in
    # the table's other gradients: the compiler then sends their sum.
    rest = (held, rows // held // cut)
    lies = (width, *rest) if parts == 1 else (*rest, width)
    start = jnp.zeros(()), jnp.zeros((cut, parts, *lies), jnp.float32)
    if devices is not None and parts > 1:
        place = jax.sharding.PartitionSpec(None, *mesh.BATCH, "tensor" if held > 1 else None)
        place = jax.sharding.NamedSharding(devices, place)
        start = start[0], jax.lax.with_sharding_constraint(start[1], place)
    (total, table_gradient), hidden_gradient = jax.lax.scan(
        step, start, (chunks(hidden), chunks(targets), chunks(weights))
    )
    hidden_gradient = jnp.moveaxis(hidden_gradient, 0, 1).reshape(batch, count * size, width)
    table_gradient = table_gradient.sum(1)
    if parts == 1:
        table_gradient = jnp.moveaxis(table_gradient, 1, -1)
    table_gradient = table_gradient.swapaxes(0, 1).reshape(rows, width)
    return total * scale, (hidden_gradient[:, :length], table_gradient.astype(table.dtype))


def _blocks(rows: int, excess: float) -> int:
    """The fewest equal blocks of so many rows of which one has a share of at most 1 / excess."""
    return next((n for n in range(1, rows + 1) if rows % n == 0 and n >= excess), rows)


def _backward(first: int, last: int, devices: Any, gradients, cotangent):
    hidden_gradient, table_gradient = gradients
    return (
        (cotangent * hidden_gradient).astype(hidden_gradient.dtype),
        (cotangent * table_gradient).astype(table_gradient.dtype),
        None,
        None,
    )


linear_softmax_cross_entropy.defvjp(_forward, _backward)


def sampled_softmax_cross_entropy(
    hidden: Float[Array, "batch length width"],
    positives: Float[Array, "batch length width"],
    targets: Int[Array, "batch length"],
    weights: Bool[Array, "batch length"],
    negatives: Float[Array, "*owners drawn width"],
    drawn: Int[Array, "*owners drawn"],
    catalogue: int,
) -> Float[Array, ""]:
    """Mean of −log softmax(target) (nats, f32) where the weight is true, from a few drawn rows.

    The sum over the other catalogue − 1 rows is estimated from those that are drawn, uniformly,
    each standing for (catalogue − 1) / (drawn ones that are not the target). (Importance sampling
    of the partition function, Bengio & Senécal 2003; Jean et al. 2015, arXiv:1412.2007, with a
    uniform proposal.)

    Args:
      hidden: states that are to predict.
      positives: the targets' rows.
      targets: their ids.
      weights: which positions count.
      negatives: the drawn rows. `owners` are as in `binary_cross_entropy`.
      drawn: their ids.
      catalogue: rows that could have been drawn, the target among them.
    """
    logits, other = _against(hidden, negatives, drawn, targets)
    stands_for = (catalogue - 1) / jnp.maximum(other.sum(-1, keepdims=True), 1)
    logits = jnp.where(other, logits + jnp.log(stands_for), -jnp.inf)
    own = jnp.einsum("blw,blw->bl", hidden, positives, preferred_element_type=jnp.float32)
    every = jnp.concatenate([own[..., None], logits], axis=-1)
    terms = jnp.where(weights, jax.nn.logsumexp(every, axis=-1) - own, 0.0)
    return terms.sum() / jnp.maximum(weights.sum(), 1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(6, 7))
def binary_cross_entropy(
    hidden: Float[Array, "batch length width"],
    positives: Float[Array, "batch length width"],
    targets: Int[Array, "batch length"],
    weights: Bool[Array, "batch length"],
    negatives: Float[Array, "*owners drawn width"],
    drawn: Int[Array, "*owners drawn"],
    beta: float = 1.0,
    devices: jax.sharding.Mesh | None = None,
) -> Float[Array, ""]:
    """Binary cross-entropy (nats, f32) of targets and drawn rows, mean where the weight is true.

    A position's loss is −(β log σ(s⁺) + Σ log(1 − σ(s⁻))) / (1 + drawn), with scores s = hidden ·
    row. A drawn target is left out of the sum, and the other drawn rows stand for it. At β = 1 that
    is the loss of SASRec (Kang & McAuley 2018, who don't divide), otherwise gBCE (Petrov &
    Macdonald 2023, arXiv:2308.07192). They raise σ(s⁺) to the power β in f64; β log σ(s⁺) =
    −β softplus(−s⁺) needs but f32.

    Examples are taken in chunks, whose gradients are computed while their scores are at hand.

    Args:
      hidden: states that are to predict.
      positives: the targets' rows.
      targets: their ids.
      weights: which positions count.
      negatives: the drawn rows. `owners` are (batch, length), (batch,) where the positions of an
        example share them, or () where all do.
      drawn: their ids.
      beta: what a target's term counts.
      devices: that share the batch; a device's chunks are of its own examples.
    """
    return _binary_forward(hidden, positives, targets, weights, negatives, drawn, beta, devices)[0]


def _binary_forward(
    hidden, positives, targets, weights, negatives, drawn, beta: float, devices: Any
) -> Any:
    platform = devices.devices.flat[0].platform if devices else jax.default_backend()
    parts = mesh.batch_parts(devices) if devices else 1
    (batch, length), shared = targets.shape, drawn.ndim == 1
    # A quarter, as a score's exponential, term and gradient lie beside it.
    room = max(1, CHUNK_ELEMENTS[platform] // (4 * length * drawn.shape[-1]))
    examples = batch // parts
    size = next(size for size in range(min(room, examples), 0, -1) if examples % size == 0)
    count = examples // size
    scale = 1.0 / jnp.maximum(weights.sum(), 1)

    def chunks(x: Array) -> Array:
        """[batch, …] → [count, batch / count, …]; each device takes some of its own examples."""
        x = jnp.moveaxis(x.reshape(parts, count, size, *x.shape[1:]), 1, 0)
        return x.reshape(count, parts * size, *x.shape[3:])

    def joined(x: Array) -> Array:
        """The inverse of `chunks`."""
        x = x.reshape(count, parts, size, *x.shape[2:])
        return jnp.moveaxis(x, 1, 0).reshape(batch, *x.shape[3:])

    def step(total_and_gradient, chunk):
        total, of_shared = total_and_gradient
        h, positive, target, weight, *own = chunk
        rows, ids = own or (negatives, drawn)
        value, (of_hidden, of_positives, of_rows) = jax.value_and_grad(_binary_sum, (0, 1, 2))(
            h, positive, rows, ids, target, weight, beta
        )
        if shared:
            return (total + value, of_shared + of_rows), (of_hidden, of_positives)
        return (total + value, of_shared), (of_hidden, of_positives, of_rows)

    each = (hidden, positives, targets, weights) + (() if shared else (negatives, drawn))
    start = jnp.zeros(()), jnp.zeros(negatives.shape if shared else (), jnp.float32)
    (total, of_shared), gradients = jax.lax.scan(step, start, tuple(map(chunks, each)))
    gradients = [*map(joined, gradients), *([of_shared] if shared else [])]
    return total * scale, [
        (gradient * scale).astype(of.dtype)
        for gradient, of in zip(gradients, (hidden, positives, negatives), strict=True)
    ]


def _binary_backward(beta: float, devices: Any, gradients, cotangent):
    of_hidden, of_positives, of_rows = (
        (cotangent * gradient).astype(gradient.dtype) for gradient in gradients
    )
    return of_hidden, of_positives, None, None, of_rows, None


binary_cross_entropy.defvjp(_binary_forward, _binary_backward)


def _binary_sum(
    hidden, positives, negatives, drawn, targets, weights, beta: float
) -> Float[Array, ""]:
    """The terms of `binary_cross_entropy`, summed over positions."""
    count = drawn.shape[-1]
    own = jnp.einsum("blw,blw->bl", hidden, positives, preferred_element_type=jnp.float32)
    scores, other = _against(hidden, negatives, drawn, targets)
    against = jnp.where(other, softplus(scores), 0.0).sum(-1)
    against *= count / jnp.maximum(other.sum(-1), 1)
    terms = (beta * softplus(-own) + against) / (1 + count)
    return jnp.where(weights, terms, 0.0).sum()


def _against(
    hidden, negatives, drawn, targets
) -> tuple[Float[Array, "batch length drawn"], Bool[Array, "batch length drawn"]]:
    """Scores of the drawn rows in f32, and which of them are not the target."""
    owners = "bl"[: drawn.ndim - 1]
    scores = jnp.einsum(
        f"blw,{owners}nw->bln", hidden, negatives, preferred_element_type=jnp.float32
    )
    return scores, jnp.expand_dims(drawn, range(drawn.ndim - 1, 2)) != targets[..., None]


@jax.custom_jvp
def softplus(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """log(1 + exp(x)) = −log σ(−x), exact to a rounding of 1 (f32), and finite for any x."""
    return jnp.maximum(x, 0) + jnp.log(1 + jnp.exp(-jnp.abs(x)))


@softplus.defjvp
def _softplus_and_tangent(primals, tangents):
    """The derivative is σ(x), of the same exponential."""
    (x,), (tangent,) = primals, tangents
    less = jnp.exp(-jnp.abs(x))
    return softplus(x), tangent * jnp.where(x >= 0, 1, less) / (1 + less)
