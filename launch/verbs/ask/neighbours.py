"""`podway neighbours`: the items that a model holds to be most alike to an item."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import tyro

from podway.launch.verbs.ask import recommend
from podway.launch.verbs.verb import Subject, Verb


@dataclasses.dataclass(frozen=True)
class Near:
    """A model, and whose neighbours are wanted."""

    model: Subject
    near: Annotated[tuple[str, ...], tyro.conf.Suppress] = ()
    workdir: str = "workdir"
    """Folder of models/, runs/ and datasets/, where MODEL is a name."""
    version: int | None = None
    """Published version, where MODEL is a name; without it the latest."""
    run: str | None = None
    """Run, where MODEL is a name, or "latest", rather than what is published."""
    items: str = ""
    """Instead of ITEM …: all, or a file: text with an id a line, or .parquet, .jsonl or .csv with a
    column "item"."""
    k: int = 10
    """Neighbours of each item."""
    measure: Literal["cosine", "dot"] = "cosine"
    """How alike two items are: the cosine of the angle between their vectors, or their dot product,
    which favours what is popular."""
    output: str = ""
    """Parquet file to write, local or on gs://; without it the lists are printed."""


_MORE = """

The vectors are those of `podway predict --what item-embeddings`, computed by the run. All pairs are
compared, so the lists are exact."""


def neighbours(options: Near) -> None:
    """Prints the lists, or writes them."""
    import numpy as np
    from etils import epath

    from podway.launch.batch import file, folder
    from podway.launch.batch import neighbours as near
    from podway.launch.loaded.error import require
    from podway.launch.loaded.model import load

    require(
        bool(options.near) != bool(options.items),
        "give either ITEM …, ids of items, or --items all|FILE",
    )
    require(
        not options.output or options.output.endswith(".parquet"),
        f"--output is {options.output!r}; give a file that ends in .parquet",
    )
    require(
        options.items != "all" or bool(options.output),
        "--items all is for a file; give --output FILE.parquet",
    )
    with recommend.notes():
        model = load(options.model, options.workdir, version=options.version, run=options.run)
        vectors = model.item_embeddings()
    if options.items == "all":
        chosen = np.arange(len(model.items))
    elif options.items:
        chosen = near.places(model, tuple(file.listed(options.items, "--items", "item")))
    else:
        chosen = near.places(model, options.near)
    found = near.nearest(vectors, chosen, options.k, options.measure)
    if not options.output:
        print(near.to_text(found, model))
        return
    table = near.to_arrow(found, model)
    folder.put(epath.Path(options.output), table)
    print(f"{options.output}: {len(table):,} rows of {model.place}")


VERB = Verb(
    "items that are alike, by the model's vectors",
    Near,
    neighbours,
    of="MODEL [ITEM] …",
    more=_MORE,
    example="podway neighbours movielens_sasrec 1 50 --k 5 --workdir w",
)
