"""The new raw files by themselves: a small dataset, to be compared with the one before them.

Among years of data a bad day hardly shows. So the new files are read alone, with every user and
item that they have, and their values are held against those of the last dataset.
"""

import dataclasses
from collections.abc import Sequence

from etils import epath

from podway.beam import dataset, plan
from podway.beam.check import check
from podway.beam.error import DataError, EmptySplitError
from podway.beam.formats import source
from podway.framework.config import Experiment, GlobalTime, LeaveOneOut, RandomSplit
from podway.framework.config.data import Data
from podway.launch.loop.look import News

_POINTS = GlobalTime(0.8, 0.9)


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What the new files are like.

    Attributes:
      passed: whether they may be trained on.
      reason: why not, in a sentence; or what could not be judged.
      report: for people; "": none.
      psi: of the feature that drifted most; None: no verdict.
    """

    passed: bool
    reason: str = ""
    report: str = ""
    psi: float | None = None


def inspect(
    experiment: Experiment, workdir: epath.PathLike, news: News, base: epath.Path
) -> Inspection:
    """Reads the new files, and compares them with the dataset in `base`.

    Their dataset is kept, so that who comes again need not read them again. Raises OSError: a file
    cannot be read; ConfigError: an option that does not fit.
    """
    data, limits = (
        alone(experiment.data, news.files, experiment.loop.max_rejected),
        experiment.loop.limits,
    )
    try:
        directory = dataset.build(data, workdir, choice="keep")
    except EmptySplitError:
        return Inspection(True, "too few new events for a verdict")
    except DataError as error:
        return Inspection(False, str(error))
    report = check.check(directory, against=base, limits=limits, increment=True)
    drifted = check.largest_psi(directory, base, limits)
    if report.errors:
        worst = report.findings[0]
        where = f"{worst.feature}: " if worst.feature else ""
        reason = f"{where}{worst.check} {worst.found}, expected {worst.expected}"
        more = f" (and {report.errors - 1} more)" if report.errors > 1 else ""
        return Inspection(False, reason + more, report.text(), drifted and drifted[0])
    judged = "" if drifted else f"no feature has the {limits.rows} rows that a verdict takes"
    return Inspection(True, judged, report.text(), drifted and drifted[0])


def alone(data: Data, files: Sequence[str], max_rejected: float) -> Data:
    """The same data, of some of its files alone."""
    others = [
        file for file in source.find(dataclasses.replace(data, exclude=())) if file not in files
    ]
    split = data.split
    if isinstance(split, LeaveOneOut) and data.columns.time is not None:
        split = _POINTS  # of a day, most users have too few events for a split of their own
    elif not isinstance(split, RandomSplit | LeaveOneOut):
        split = _POINTS
    return dataclasses.replace(
        data,
        name=f"{data.name}_new",
        exclude=tuple(others),
        version="",
        min_user_events=1,
        min_item_events=1,
        max_user_events=None,
        max_items=None,
        max_rejected=max_rejected,
        split=split,
        extendable=False,
    )


def identities(data: Data) -> dict[str, tuple]:
    """Path → identity of the raw files as they are now."""
    return {each["path"]: tuple(each["identity"]) for each in plan.raw_files(data)}
