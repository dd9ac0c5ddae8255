"""A small dataset of rows with labels that can be learnt, and models of them."""

import dataclasses

import numpy as np
import pyarrow as pa
from etils import epath

from benchmarks import synthetic
from podway.framework.embedding.table import Embedding
from podway.framework.heads import Binary, Classes, Regression
from podway.framework.input.batches import Dataset
from podway.framework.models.dcn import Dcn
from podway.framework.models.dlrm import Dlrm
from podway.framework.models.mmoe import Mmoe
from podway.framework.schema.schema import Feature

USERS, ITEMS, BRANDS = 30, 40, 6
SIZES = {"train": 1200, "validation": 150, "test": 130}
FEATURES = (
    Feature("user", "user", "int32", vocabulary="user", size=USERS),
    Feature("item", "item", "int32", vocabulary="item", size=ITEMS),
    Feature("time", "time", "int64"),
    Feature("click", "label", "float32"),
    Feature("amount", "label", "float32"),
    Feature("level", "label", "float32"),
    Feature("day", "feature", "float32", shape=(2,)),
    Feature("price", "feature", "float32"),
    Feature("tags", "feature", "int32", True, size=9, max_length=3),
    Feature("brand", "feature", "int32", size=BRANDS, table="item"),
    Feature("words", "feature", "int32", True, size=12, max_length=4, table="item"),
)

BOTH = (Binary("click"), Regression("amount", weight=0.5))
MODELS = {
    "dlrm": Dlrm(objectives=BOTH, width=8, bottom=(16,), top=(16,)),
    "dcn": Dcn(objectives=BOTH, width=8, layers=2, deep=(16,)),
    "low rank": Dcn(objectives=BOTH, width=8, layers=2, rank=4, deep=(16,), structure="parallel"),
    "mmoe": Mmoe(
        objectives=(*BOTH, Classes("level", classes=3)), width=8, experts=3, expert=(16, 8)
    ),
    "sparse items": Dcn(
        objectives=BOTH, width=8, layers=1, deep=(16,), items=Embedding(placement="sharded")
    ),
}
MODELS["sparse items, replicated"] = dataclasses.replace(
    MODELS["sparse items"], items=Embedding(placement="replicated")
)


def lists(draw: np.random.Generator, rows: int, size: int, longest: int) -> pa.ListArray:
    counts = draw.integers(0, longest + 1, rows)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    values = draw.integers(1, size, counts.sum()).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def table(rows: int, seed: int) -> pa.Table:
    """The click depends on user and item, the amount on the price, the level on the item."""
    draw = np.random.default_rng(seed)
    user = draw.integers(1, USERS, rows)
    item = draw.integers(1, ITEMS, rows)
    price = draw.normal(size=rows)
    odds = 3.0 * (np.sin(user) + np.cos(item))
    day = draw.normal(size=(rows, 2)).astype(np.float32)
    return pa.table(
        {
            "user": user.astype(np.int32),
            "item": item.astype(np.int32),
            "time": np.arange(rows),
            "click": (draw.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.float32),
            "amount": (1 + price + 0.1 * draw.normal(size=rows)).astype(np.float32),
            "level": (item % 3).astype(np.float32),
            "day": pa.FixedSizeListArray.from_arrays(pa.array(day.ravel()), 2),
            "price": price.astype(np.float32),
            "tags": lists(draw, rows, 9, 3),
        }
    )


def write(directory: epath.PathLike) -> Dataset:
    draw = np.random.default_rng(9)
    brands = draw.integers(0, BRANDS, ITEMS).astype(np.int32)
    attributes = pa.table({"brand": brands, "words": lists(draw, ITEMS, 12, 4)})
    tables = {split: table(rows, seed) for seed, (split, rows) in enumerate(SIZES.items())}
    return synthetic.write(
        directory,
        tables.pop("train"),
        FEATURES,
        block_rows=64,
        shards=2,
        tables={"item": attributes},
        others=tables,
    )
