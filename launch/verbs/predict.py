"""`podway predict`: recommendations for all users, or a file of histories, as a Parquet file."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING

from podway.launch.verbs import recommend
from podway.launch.verbs.verb import Verb

if TYPE_CHECKING:
    from podway.launch.batch.source import Source
    from podway.launch.loaded.model import LoadedModel


@dataclasses.dataclass(frozen=True)
class Predict(recommend.Ask):
    """A model, whom it recommends to, and where the lists go."""

    users: str = ""
    """Users of the dataset: all, or a text file with an id a line. Without --histories: all."""
    histories: str = ""
    """File of histories instead: Parquet, or .jsonl, with a column "history", lists of item ids,
    and "user" if they have names."""
    output: str = ""
    """Parquet file to write: a row for each recommended item, with user, rank, item and score."""


_MORE = """
The file appears when all is done. A command that was killed goes on where it was, when it is given
again; until then its parts lie in OUTPUT.parts/.

Example:  podway predict movielens_sasrec --k 10 --output lists.parquet --workdir w"""


def predict(options: Predict) -> None:
    """Writes the file."""
    from podway.launch.batch import predict as batch
    from podway.launch.loaded.error import require

    require(
        options.output.endswith(".parquet") and "://" not in options.output,
        f"--output is {options.output!r}; give a local file that ends in .parquet",
    )
    require(
        not (options.users and options.histories), "give either --users or --histories, not both"
    )
    model, output = options.loaded(), pathlib.Path(options.output)
    made = batch.predict(
        model, _source(options, model), output, k=options.k, filter=options.filter()
    )
    if made is None:
        print(f"up to date: {output}")
        return
    without = f"; {made.unanswered:,} histories have no item that the model knows, and no row"
    print(f"{output}: {made.rows:,} rows of {model.place}{without if made.unanswered else ''}")


def _source(options: Predict, model: LoadedModel) -> Source:
    import numpy as np

    from podway.launch.batch import source
    from podway.launch.loaded.error import require

    if options.histories:
        require(not options.with_targets, "--with-targets is of users; histories have no targets")
        return source.OfFile(options.histories, model.engine.items, timed=model.engine.timed)
    users = model.known_users(targets=options.with_targets)
    places = np.arange(len(users))
    if options.users not in ("", "all"):
        places = users.places(source.listed(options.users))
    return source.OfUsers(users, places, options.with_targets)


VERB = Verb(
    "recommendations for all users → a Parquet file",
    Predict,
    predict,
    of="MODEL",
    more=f"{recommend.MORE}{_MORE}",
)
