"""`podway features materialize`: histories of a dataset → the online store."""

from __future__ import annotations

import dataclasses

from podway.launch.verbs.verb import Chain, Verb


@dataclasses.dataclass(frozen=True)
class Options(Chain):
    """An experiment, and where its artefacts lie."""

    again: bool = False
    """Also the parts that the store has already."""


_MORE = """

Histories are merged with what came by the queue in the meantime. A command that was killed goes on
with the part that was under way. Items get the columns that data.tables keep."""


def materialize(options: Options) -> None:
    """Builds the dataset where it is missing, and fills the store with it."""
    from podway.framework import progress
    from podway.launch import stages
    from podway.launch.backfill import dataset as source
    from podway.online.backfill import materialize as filling
    from podway.online.store import open as stores

    experiment = options.experiment
    dataset = stages.data(experiment, options.workdir, code=options.code)
    directory = str(dataset.directory)
    source.check_histories(experiment.data, directory)
    nearline = experiment.online.nearline
    with (
        stores.opened(experiment.online.store, options.workdir, experiment.name) as store,
        progress.shown("materialize", unit="event", total=source.events(directory)) as bar,
    ):
        done = filling.Progress(store, f"{dataset.manifest.version}/{nearline.history}")
        if options.again:
            done.forget()
        parts = source.parts(directory, nearline.history)
        found = filling.fill(store, parts, done, nearline, experiment.data.duplicates, bar.update)
        items = filling.fill_items(store, source.items(dataset))
    said = f"; {found.skipped} parts were there already" if found.skipped else ""
    print(
        f"materialize: {found.users:,} users, of whom {found.changed:,} have another history now"
        f"{said}; attributes of {items:,} items"
    )


MATERIALIZE = Verb(
    "histories of the dataset → the online store",
    Options,
    materialize,
    more=_MORE,
    example="podway features materialize movielens_sasrec --workdir w",
    without_model=True,
)
