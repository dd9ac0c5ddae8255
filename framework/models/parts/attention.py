"""Which positions see which, and softmax attention among them: one place for all models.

Two programs compute it, with equal results; `trainer.attention` chooses:

  xla    matrix products, on every device. Queries are cut into stretches, each of which meets the
         keys up to its end alone: exact, and without most of what a causal mask would hide.
  cudnn  the kernel behind jax.nn.dot_product_attention, on NVIDIA GPUs and in 16 bits: scores never
         lie in memory.

TPUs have XLA's program. Pallas' kernels there (flash and splash attention) want lengths that are
multiples of 128 and a shard_map around them, and on histories of 50 or 200 items pad more than they
save.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from podway.framework.error import check

Kernel = Literal["auto", "xla", "cudnn"]

QUERIES = 1024
"""Queries whose scores exist at once; of longer texts the scores are computed anew, backward."""
STRETCHES = 4
"""Into which the queries of shorter ones are cut; more save little and cost a product each."""
SHORTEST = 48
"""Queries in a stretch at least."""


KEEPS_APART = "keeps_apart"
"""Name of the class attribute by which a block promises that no position of its answer depends on
what stands at positions of another segment: each history of a row is as if alone."""


def keeps_apart(block: object) -> bool:
    """Whether the class that defines how a block computes promises it; a base's word is not enough:
    who overrides `__call__` promises anew."""
    defines = next((each for each in type(block).__mro__ if "__call__" in vars(each)), object)
    return bool(vars(defines).get(KEEPS_APART, False))


@dataclasses.dataclass(frozen=True)
class AttentionMask:
    """What each position of a batch sees: always itself.

    Attributes:
      causal: those before it, or those behind it too.
      segment: only those of the same number; None: all have one.
      time: when each was, whole seconds from any moment of its history's; None: nobody asks.
    """

    causal: bool = True
    segment: Int[Array, "batch length"] | None = None
    time: Int[Array, "batch length"] | None = None

    def stretches(self, length: int) -> Iterator[tuple[int, int, int]]:
        """(first query, end of the queries, end of the keys that these may see), in order."""
        parts = -(-length // QUERIES)
        if self.causal and parts == 1:
            parts = min(STRETCHES, max(1, length // SHORTEST))
        ends = [length * part // parts for part in range(parts + 1)]
        for start, end in itertools.pairwise(ends):
            yield start, end, end if self.causal else length

    def mask(self, start: int, end: int, keys: int) -> Bool[Array, "#batch queries #keys"]:
        """Which of the first keys each query of a stretch sees."""
        seen = jnp.ones((1, 1, 1), bool)
        if self.causal:
            seen = (jnp.arange(keys) <= jnp.arange(start, end)[:, None])[None]
        if self.segment is not None:
            seen &= self.segment[:, start:end, None] == self.segment[:, None, :keys]
        return seen

    def mask_at(self, at: Int[Array, " batch"], keys: int) -> Bool[Array, "batch keys"]:
        """Which of the first keys one position of each row sees."""
        seen = jnp.ones((at.shape[0], keys), bool)
        if self.causal:
            seen = jnp.arange(keys) <= at[:, None]
        if self.segment is not None:
            own = jnp.take_along_axis(self.segment, at[:, None], axis=1)
            seen &= own == self.segment[:, :keys]
        return seen


CAUSAL = AttentionMask()


def attend(
    query: Float[Array, "batch length heads head_width"],
    key: Float[Array, "batch length kv_heads head_width"],
    value: Float[Array, "batch length kv_heads head_width"],
    attention_mask: AttentionMask = CAUSAL,
    kernel: Kernel = "xla",
    devices: jax.sharding.Mesh | None = None,
) -> Float[Array, "batch length heads head_width"]:
    """Softmax attention; heads/kv_heads query heads in a row share a key and a value.

    Scores and softmax in f32. `kernel` and `devices` are those of task.ForwardContext. Raises
    ConfigError where cuDNN is asked for and cannot compute it.
    """
    if kernel != "xla":
        reason = against_cudnn(query, attention_mask, devices)
        if not reason:
            return cudnn(query, key, value, attention_mask)
        check(kernel == "auto", f'trainer.attention is "cudnn", which {reason}')
    return xla(query, key, value, attention_mask)


def attend_at(
    at: Int[Array, " batch"],
    query: Float[Array, "batch length heads head_width"],
    key: Float[Array, "batch length kv_heads head_width"],
    value: Float[Array, "batch length kv_heads head_width"],
    attention_mask: AttentionMask = CAUSAL,
) -> Float[Array, "batch 1 heads head_width"]:
    """What `attend` has at one position of each row."""
    batch, _, heads, width = query.shape
    own = jnp.take_along_axis(query, at[:, None, None, None], axis=1)
    own = own.reshape(batch, key.shape[2], -1, width)
    scores = jnp.einsum("bkgd,bmkd->bkgm", own, key, preferred_element_type=jnp.float32)
    mask = attention_mask.mask_at(at, key.shape[1])[:, None, None]
    weights = jax.nn.softmax(jnp.where(mask, scores * width**-0.5, -jnp.inf), axis=-1)
    attended = jnp.einsum("bkgm,bmkd->bkgd", weights.astype(value.dtype), value)
    return attended.reshape(batch, 1, heads, width)


def xla(query: Array, key: Array, value: Array, attention_mask: AttentionMask) -> Array:
    """`attend` by plain products, a stretch of queries at a time."""
    batch, length, heads, width = query.shape
    # Heads before positions: the products' order, which XLA multiplies fastest.
    query, key, value = (each.swapaxes(1, 2) for each in (query, key, value))
    query = query.reshape(batch, key.shape[1], -1, length, width)

    def stretch(query: Array, key: Array, value: Array, mask: Array) -> Array:
        # With one axis of queries: for a product of two, XLA copies the keys into another order.
        *rows, _, _, width = query.shape
        flat = query.reshape(*rows, -1, width)
        scores = jnp.einsum("bkqd,bkmd->bkqm", flat, key, preferred_element_type=jnp.float32)
        scores = scores.reshape(*query.shape[:-1], -1)
        scores = jnp.where(mask[:, None, None], scores * width**-0.5, -jnp.inf)
        weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
        weights = weights.reshape(*flat.shape[:-1], -1)
        return jnp.einsum("bkqm,bkmd->bkqd", weights, value).reshape(query.shape)

    if length > QUERIES:
        stretch = jax.checkpoint(stretch)
    attended = [
        stretch(
            query[..., start:end, :],
            key[:, :, :keys],
            value[:, :, :keys],
            attention_mask.mask(start, end, keys),
        )
        for start, end, keys in attention_mask.stretches(length)
    ]
    joined = attended[0] if len(attended) == 1 else jnp.concatenate(attended, axis=3)
    return joined.reshape(batch, heads, length, width).swapaxes(1, 2)


def cudnn(query: Array, key: Array, value: Array, attention_mask: AttentionMask) -> Array:
    """`attend` by cuDNN's kernel."""
    length, mask = query.shape[1], None
    segment = attention_mask.segment
    if length % 2:  # what it trains has to be even; no position sees one behind the last
        query, key, value = (
            jnp.pad(each, ((0, 0), (0, 1), (0, 0), (0, 0))) for each in (query, key, value)
        )
        segment = None if segment is None else jnp.pad(segment, ((0, 0), (0, 1)), mode="edge")
    if segment is not None:
        mask = (segment[:, :, None] == segment[:, None])[:, None]
    return jax.nn.dot_product_attention(
        query, key, value, mask=mask, is_causal=attention_mask.causal, implementation="cudnn"
    )[:, :length]


def against_cudnn(
    query: jax.ShapeDtypeStruct | Array,
    attention_mask: AttentionMask,
    devices: jax.sharding.Mesh | None,
) -> str:
    """Why cuDNN cannot compute attention on these devices (None: JAX's own); "": it can."""
    device = jax.devices()[0] if devices is None else devices.devices.flat[0]
    # Of AMD's GPUs it is a name.
    capability = str(getattr(device, "compute_capability", "")).partition(".")[0]
    length, width = query.shape[1], query.shape[-1]
    if not (device.platform == "gpu" and capability.isdigit() and int(capability) >= 8):
        return f"needs an NVIDIA GPU of Ampere or later; this is {device.device_kind}"
    if query.dtype not in (jnp.bfloat16, jnp.float16):
        return f'computes in 16 bits, not in {query.dtype}: set trainer.precision to "bf16"'
    if width % 8 or width > 128:
        return f"has heads as wide as a multiple of 8 up to 128; this model's have {width}"
    if not attention_mask.causal and length % 2:
        return f"takes an even number of positions that see each other; there are {length}"
    return ""
