"""A shop whose log has a file a day."""

import csv
import dataclasses
import pathlib
import random

from podway.framework.config import (
    Columns,
    Data,
    Evaluation,
    Experiment,
    Export,
    Limits,
    Loop,
    Trainer,
)
from podway.framework.models.ease import Ease
from podway.framework.models.sasrec import SasRec
from podway.framework.training.optimizer import AdamW

ITEMS, USERS = 30, 90
LIMITS = Limits(rows=50, examples=0.0, vocabulary=1e9)


def write(
    folder: pathlib.Path, day: int, *, users: int = USERS, items: int = ITEMS, prefix: str = "i"
) -> pathlib.Path:
    """A day on which most users walk over the items, a few from one to the next at random."""
    draw, rows = random.Random(day), []
    for user in range(users):
        item, clock = draw.randrange(items), 1_600_000_000 + day * 86_400
        for _ in range(draw.randrange(4, 8)):
            clock += draw.randrange(1, 9_000)
            rows.append((f"u{user}", f"{prefix}{item}", clock))
            item = (item + draw.choice([1, 1, 1, 1, 2])) % items
    path = folder / f"day-{day}.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("user", "item", "time"), *rows])
    return path


def shop(folder: pathlib.Path, model: str = "ease", **loop) -> Experiment:
    """Of all days that there are."""
    found = Experiment(
        name="shop",
        data=Data(
            name="shop",
            path=str(folder / "day-*.csv"),
            columns=Columns("user", "item", "time"),
            min_user_events=1,
            min_item_events=1,
            shards=2,
            block_rows=16,
        ),
        model=Ease(),
        evaluation=Evaluation(cutoffs=(5, 10), batch_size=32, bootstrap=10),
        export=Export(top_k=10, batch_buckets=(4,)),
        loop=Loop(**({"every": 0.0, "limits": LIMITS} | loop)),
    )
    if model == "ease":
        return found
    return dataclasses.replace(
        found,
        model=SasRec(width=16, blocks=1, heads=2, max_length=8),
        optimizer=AdamW(learning_rate=1e-2, warmup_steps=5),
        trainer=Trainer(
            steps=60, batch_size=32, evaluate_every=30, checkpoint_every=30, shuffle_window_blocks=2
        ),
    )
