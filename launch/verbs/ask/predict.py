"""`podway predict`: recommendations, scores or embeddings of all users, or of a file of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from podway.beam.engines.options import Engine, Local
from podway.launch.verbs import data
from podway.launch.verbs.ask import recommend
from podway.launch.verbs.verb import Verb

if TYPE_CHECKING:
    from podway.launch.batch.predict import Made
    from podway.launch.batch.source import Source
    from podway.launch.batch.stored import Target
    from podway.launch.loaded.model import LoadedModel


@dataclasses.dataclass(frozen=True)
class Predict(recommend.Ask):
    """A model, whom it answers for, where the answers go, and what computes them."""

    users: str = ""
    """Users of the dataset: all, or a file: text with an id a line, or .parquet, .jsonl or .csv
    with a column "user"; one with a column "history" is read as --histories. Without: all."""
    histories: str = ""
    """File of histories instead: .parquet, .jsonl or .csv with a column "history", lists of item
    ids, and "user" if they have names."""
    output: str = ""
    """Folder to make, local or gs://…, of Parquet files and a manifest; or a local file that ends
    in .parquet."""
    what: Literal["recommendations", "scores", "embeddings", "item-embeddings"] = "recommendations"
    """The k best items; the score of each item; the users' vectors; the items' vectors. All but the
    first are computed by the run."""
    store: str = ""
    """CONFIG whose `online.store` gets the answers, too: a list or a vector for each user or item.
    What is made already is stored and not made again."""
    store_days: float = 0.0
    """Days until they expire there; 0: never."""
    dry_run: bool = False
    """Say what there is to do, and how long it takes; write nothing."""
    runner: Literal["local", "portable", "flink", "dataflow"] = "local"
    """Engine; `--runner flink --help` explains the options of that engine."""
    engine: Annotated[Engine, tyro.conf.arg(name="")] = Local()


_MORE = """

The folder is whole when its manifest is there, the file when it appears. A command that was killed
goes on where it was, when it is given again."""


def predict(options: Predict) -> None:
    """Makes the folder or the file."""
    from podway.launch.batch import estimate
    from podway.launch.batch import predict as batch
    from podway.launch.loaded.error import require

    output = options.output
    require(
        bool(output) and (not output.endswith(".parquet") or "://" not in output),
        f"--output is {output!r}; give a folder, local or on gs://, or a local file that ends in"
        " .parquet",
    )
    require(
        not (options.users and options.histories), "give either --users or --histories, not both"
    )
    target = _target(options)
    model = options.loaded()
    asked = {"what": options.what, "k": options.k, "filter": options.filter()}
    of = _source(options, model)
    if options.dry_run:
        print(estimate.describe(model, batch.planned(model, of, output, **asked), options.engine))
        return
    made = batch.predict(model, of, output, engine=options.engine, **asked)
    if made is None:
        print(f"up to date: {output}")
    else:
        print(f"{output}: {made.rows:,} rows of {model.place}{_without(made)}")
    if target is not None:
        from podway.launch.batch import stored

        job = batch.planned(model, of, output, **asked)
        count = stored.store(job, output, target, options.engine)
        print(f"{count:,} {stored.KINDS[options.what]}s are in the store of {options.store}")


def _target(options: Predict) -> Target | None:
    """The store, as the config of --store has it."""
    if not options.store:
        return None
    from podway.launch import experiments
    from podway.launch.batch import stored
    from podway.launch.loaded.error import require

    require(
        0 <= options.store_days < float("inf"),
        f"--store-days is {options.store_days}; give a number of days, or 0 for ever",
    )
    stored.check(options.what, True)
    experiment = experiments.load(options.store)
    ttl = options.store_days * 86_400 or None
    return stored.Target(experiment.online.store, options.workdir, experiment.name, ttl)


def _without(made: Made) -> str:
    said = ""
    if made.unanswered:
        said += f"; {made.unanswered:,} histories have no item that the model knows, and no row"
    if made.unknown:
        said += f"; {made.unknown:,} users are not in the dataset, and have no row"
    return f"{said}: they are listed as rejected" if said else ""


def _source(options: Predict, model: LoadedModel) -> Source:
    import numpy as np

    from podway.framework.schema.schema import FIRST_VALUE
    from podway.launch.batch import file, source
    from podway.launch.loaded.error import require

    users, histories = options.users, options.histories
    if options.what == "item-embeddings":
        require(
            not (users or histories or options.allow or options.deny),
            "--what item-embeddings is of all items; leave out --users, --histories, --allow and"
            " --deny",
        )
        return source.OfItems(model.engine.items, FIRST_VALUE)
    listed = users not in ("", "all")
    if listed and file.has_histories(users):
        users, histories = "", users
    if histories:
        require(not options.with_targets, "--with-targets is of users; histories have no targets")
        return file.OfFile(histories, model.engine.items, timed=model.engine.timed)
    known = model.known_users(targets=options.with_targets)
    if not listed:
        return source.OfUsers(known, np.arange(len(known)), options.with_targets)
    names = file.listed(users)
    found = source.OfUsers.named(known, names, options.with_targets)
    require(
        found.total > 0,
        f"--users {users}: none of its {len(names):,} users is in the dataset of {model.place}, for"
        f" example {names[0]!r}; give their histories instead",
    )
    return found


VERB = Verb(
    "answers for all users → Parquet, by Beam",
    Predict,
    predict,
    data.engine,
    of="MODEL",
    more=f"{recommend.MORE}{_MORE}",
    example="podway predict movielens_sasrec --k 10 --output lists.parquet --workdir w",
)
