"""`podway track`: tells a tracking database what it has missed."""

import dataclasses

from podway.framework.error import PodwayError
from podway.launch.verbs.verb import Subject, Verb


@dataclasses.dataclass(frozen=True)
class Track:
    """A run or a workdir, and the database that is told of it."""

    place: Subject
    uri: str = ""
    """Database or server of MLflow: sqlite:///FILE, postgresql://USER@HOST/NAME, https://HOST.
    Without it what tracking.uri of the newest run says, or MLFLOW_TRACKING_URI."""
    experiment: str = ""
    """Experiment of MLflow; without it what tracking.experiment says, or the experiment's name."""


_MORE = """

RUN|WORKDIR is a run's folder, WORKDIR/runs/NAME/RUN, or a whole WORKDIR. What is told already is
not told again, so the command can be given at any time."""


def track(options: Track) -> None:
    """Tells it."""
    from podway.launch.follower import catch_up
    from podway.launch.tracking import address

    workdir, found = catch_up.found(options.place)
    told = catch_up.tracking(workdir, found)
    to = address.given(options.uri, options.experiment, told)

    from podway.launch.follower import tell
    from podway.launch.tracking import database

    try:
        target = database.Database(to, workdir)
        for kind, directory in found:
            tell.tell(target, kind, directory)
            print(f"track: {kind} {directory}", flush=True)
    except database.ERRORS as error:
        text = str(error).partition("\n")[0]
        raise PodwayError(f"--uri {to} does not take what it is told: {text}") from error
    print(f"track: {len(found)} artefacts of {options.place} are in {to}")


VERB = Verb(
    "tell MLflow of runs, evaluations, models",
    Track,
    track,
    of="RUN|WORKDIR",
    more=_MORE,
    example="podway track w --uri sqlite:///mlflow.db",
)
