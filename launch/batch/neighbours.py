"""Items beside an item, by the vectors that the model has of them: exact, a block at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from podway.launch.loaded.error import RequestError, require

if TYPE_CHECKING:
    import pyarrow as pa

    from podway.launch.loaded.model import LoadedModel

Measure = Literal["cosine", "dot"]
_PRODUCTS = 1 << 24
"""Similarities that are held at a time: 64 MiB."""


class Neighbours(NamedTuple):
    """The nearest items of some items, nearest first; places are those of `model.items`.

    Attributes:
      items: int64 [items]: whose they are.
      nearest: int64 [items, k].
      similarity: f32 [items, k].
    """

    items: np.ndarray
    nearest: np.ndarray
    similarity: np.ndarray


def places(model: LoadedModel, items: tuple[str, ...]) -> np.ndarray:
    """Where items stand in `model.items`. Raises RequestError for those that the model lacks."""
    there = {item: place for place, item in enumerate(model.items)}
    unknown = [item for item in items if item not in there]
    require(
        not unknown,
        f"{len(unknown):,} of {len(items):,} items are unknown to {model.place}, for example"
        f" {unknown[:1]}; give ids as the raw data have them",
    )
    return np.array([there[item] for item in items], np.int64)


def nearest(vectors: np.ndarray, items: np.ndarray, k: int, measure: Measure) -> Neighbours:
    """The k items whose vectors are most alike to that of each item, itself left out.

    All pairs are looked at. Of equals the more frequent item, with the lower place, comes first.
    A vector of zeros has a cosine of 0 with all.

    Args:
      vectors: f32 [all items, width].
      items: places of those whose neighbours are wanted.
      k: how many.
      measure: cosine of the angle, or dot product.

    Raises RequestError: there are no k others, or a vector is not finite.
    """
    count = len(vectors)
    require(1 <= k < count, f"k is {k}; give 1 to {count - 1}, the number of other items")
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(broken):
        raise RequestError(
            f"the vectors of {len(broken):,} items are not finite; train the run anew"
        )
    if measure == "cosine":
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.where(lengths > 0, lengths, 1)
    rows = max(_PRODUCTS // count, 1)
    parts = [
        _block(vectors, items[start : start + rows], k) for start in range(0, len(items), rows)
    ]
    if not parts:
        return Neighbours(items, np.empty((0, k), np.int64), np.empty((0, k), np.float32))
    found, similarity = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Neighbours(items, found, similarity)


def _block(vectors: np.ndarray, items: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    products = vectors[items] @ vectors.T
    products[np.arange(len(items)), items] = -np.inf
    # The k-th highest is exact; which of its equals are taken is said by their places.
    least = np.partition(products, -k, axis=1)[:, -k, None]
    above = products > least
    free = k - above.sum(axis=1, keepdims=True)
    equal = products == least
    taken = above | (equal & (np.cumsum(equal, axis=1) <= free))
    found = np.nonzero(taken)[1].reshape(len(items), k)
    similarity = np.take_along_axis(products, found, axis=1)
    order = np.argsort(-similarity, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(similarity, order, axis=1)


def to_arrow(found: Neighbours, model: LoadedModel) -> pa.Table:
    """A row for each neighbour: item, rank from 1, neighbour, similarity, and what is kept of the
    neighbour."""
    import pyarrow as pa

    names, k = np.array(model.items, object), found.nearest.shape[1]
    flat = found.nearest.reshape(-1)
    columns = {
        "item": pa.array(np.repeat(names[found.items], k), pa.string()),
        "rank": pa.array(np.tile(np.arange(1, k + 1, dtype=np.int32), len(found.items))),
        "neighbour": pa.array(names[flat], pa.string()),
        "similarity": pa.array(found.similarity.reshape(-1).astype(np.float32)),
    }
    kept = {name: pa.array(texts[flat], pa.string()) for name, texts in model.attributes.items()}
    return pa.table(columns | kept)


def to_text(found: Neighbours, model: LoadedModel) -> str:
    """The lists, for people."""
    lines = []
    for place, nearest, similarity in zip(*found, strict=True):
        lines.append("  ".join([f"item {model.items[place]}:", *_kept(model, place)]).rstrip())
        width = max(len(model.items[other]) for other in nearest)
        for rank, (other, value) in enumerate(zip(nearest, similarity, strict=True), 1):
            kept = "  ".join(_kept(model, other))
            lines.append(
                f"  {rank:>{len(str(len(nearest)))}}  {model.items[other]:<{width}}  {value:7.4f}"
                f"  {kept}".rstrip()
            )
    return "\n".join(lines)


def _kept(model: LoadedModel, place: int) -> list[str]:
    return [str(texts[place]) for texts in model.attributes.values()]
