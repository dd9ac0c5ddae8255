"""A small shop, through the whole chain."""

import csv
import itertools
import pathlib
import random

from podway.framework.config import (
    Columns,
    Data,
    Evaluation,
    Experiment,
    Export,
    GlobalTime,
    SideTable,
    Trainer,
)
from podway.framework.models.hstu import Hstu
from podway.framework.models.sasrec import SasRec
from podway.framework.training.optimizer import AdamW

ITEMS = 30
Event = tuple[str, str, int]


def events() -> list[Event]:
    """Users walk over the items; some have two events alone, and all times differ."""
    draw = random.Random(4)
    found, clocks = [], iter(draw.sample(range(20_000_000), 2000))
    for user in range(70):
        item = draw.randrange(ITEMS)
        count = 2 if user % 9 == 0 else draw.randrange(4, 15)
        for clock in sorted(itertools.islice(clocks, count)):
            found.append((f"u{user}", f"i{item}", 1_600_000_000 + clock))
            item = (item + draw.choice([1, 1, 1, 2, 7])) % ITEMS
    draw.shuffle(found)
    return found


def title(item: str) -> str:
    """Item 3 has none."""
    return "" if item == "i3" else f'The "{item}", größer, 100 %'


def write(folder: pathlib.Path) -> None:
    with (folder / "events.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("customer", "product", "at"), *events()])
    with (folder / "items.csv").open("w", newline="") as file:
        rows = [(f"i{item}", title(f"i{item}")) for item in range(ITEMS)]
        csv.writer(file).writerows([("id", "title"), *rows])


def data(folder: pathlib.Path, **changes) -> Data:
    titles = SideTable("item", str(folder / "items.csv"), "id", (), keep=("title",))
    options = {
        "name": "shop",
        "path": str(folder / "events.csv"),
        "columns": Columns("customer", "product", "at"),
        "tables": (titles,),
        "min_user_events": 1,
        "min_item_events": 1,
        "shards": 3,
        "block_rows": 8,
    }
    return Data(**(options | changes))


def shop(folder: pathlib.Path) -> Experiment:
    """SASRec, of whose items some are out of vocabulary."""
    return Experiment(
        name="shop",
        data=data(folder, max_items=26),
        model=SasRec(width=8, blocks=1, heads=2, max_length=8),
        optimizer=AdamW(learning_rate=1e-2, warmup_steps=5),
        trainer=Trainer(
            steps=30, batch_size=16, evaluate_every=30, checkpoint_every=30, shuffle_window_blocks=2
        ),
        evaluation=Evaluation(cutoffs=(5, 10), batch_size=32, bootstrap=10),
        export=Export(top_k=12, batch_buckets=(4,), candidate_filter=True, answers=("title",)),
    )


def timed(folder: pathlib.Path) -> Experiment:
    """HSTU, which reads times, split by time; every item that training lacks is left out."""
    return Experiment(
        name="timed",
        data=data(folder, name="timed", split=GlobalTime()),
        model=Hstu(width=8, blocks=1, heads=2, max_length=8, time_buckets=16),
        optimizer=AdamW(learning_rate=1e-2, warmup_steps=5),
        trainer=Trainer(
            steps=10, batch_size=16, evaluate_every=10, checkpoint_every=10, shuffle_window_blocks=2
        ),
        evaluation=Evaluation(cutoffs=(5,), batch_size=32, bootstrap=10),
        export=Export(top_k=6, batch_buckets=(4,)),
    )
