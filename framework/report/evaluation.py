"""The page of an evaluation: a run beside its baselines."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import markupsafe
from etils import epath

from podway.framework.page import table as tables
from podway.framework.page import templates
from podway.framework.report import artefacts, metrics, samples
from podway.framework.report.metrics import Results
from podway.framework.report.samples import Sample

PAGE = "table.html"
"""The page, in the folder of the evaluation."""
_HERE = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a page shows of an evaluation.

    Attributes:
      table: a column a model.
      whiskers: a figure for each of the first metrics.
      slices: figures by groups of the examples.
      key: which colour is whose.
      samples: some users' lists.
      model: whose lists these are.
    """

    table: tables.Table
    whiskers: Sequence[markupsafe.Markup]
    slices: metrics.Slices
    key: Sequence[tuple[str, str, str]]
    samples: Sequence[Sample]
    model: str


def of(results: Results, selection: str, directory: epath.Path) -> Shown:
    """What to show of a table, which is not empty, and of the samples in its folder.

    `selection` is the metric that selected the checkpoint. The first model of the table is the
    run's own.
    """
    own, row = next(iter(results.items()))
    return Shown(
        table=metrics.table(results, own),
        whiskers=metrics.whiskers(results, metrics.headlines(row, selection, 3)),
        slices=metrics.slices(results, selection),
        key=metrics.key(results),
        samples=samples.read(directory),
        model=own,
    )


def shown(evaluation: artefacts.Evaluation, selection: str) -> Shown:
    """What to show of a committed evaluation; see `of`."""
    return of(evaluation.table, selection, evaluation.directory)


def write(
    directory: epath.Path,
    *,
    title: str,
    selection: str,
    about: Sequence[str],
    remarks: Sequence[str],
    run: str,
) -> None:
    """Writes PAGE into the folder of an evaluation, from what lies in it.

    Args:
      directory: of the evaluation, committed or not.
      title: of the page.
      selection: the metric that selected the checkpoint.
      about: what else to say at the top.
      remarks: what the reader must know.
      run: where the run's own page is, from here.
    """
    results: Mapping[str, Mapping[str, Any]] = artefacts.table(directory)
    row = next(iter(results.values()))
    text = templates.render(
        "evaluation.html.j2",
        _HERE,
        title=title,
        about=about,
        tiles=metrics.tiles(row, metrics.headlines(row, selection), "test"),
        results=of(results, selection, directory),
        remarks=remarks,
        run=run,
    )
    (directory / PAGE).write_text(text)
