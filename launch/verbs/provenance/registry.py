"""`podway registry`: published models, and MLflow's registry of them."""

import dataclasses
import json

from podway.framework.error import PodwayError, check
from podway.launch.verbs.verb import Subject, Verb


@dataclasses.dataclass(frozen=True)
class Listed:
    """Where the models lie."""

    workdir: str = "workdir"
    """Folder of models/."""
    json: bool = False
    """Print it as JSON."""


@dataclasses.dataclass(frozen=True)
class Shown(Listed):
    """A model."""

    model: Subject = ""
    version: str = ""
    """Number of a version, or what it is called: champion, challenger, a label. Without it all."""


@dataclasses.dataclass(frozen=True)
class Rebuild:
    """Where the models lie, and the registry that is made of them."""

    workdir: str = "workdir"
    """Folder of models/, runs/ and evaluations/."""
    uri: str = ""
    """Database or server of MLflow: sqlite:///FILE, postgresql://USER@HOST/NAME, https://HOST.
    Without it what tracking.uri of the newest run says, or MLFLOW_TRACKING_URI."""
    experiment: str = ""
    """Experiment of MLflow; without it what tracking.experiment says, or the experiment's name."""


_LIST = """

The champion is the version that requests without a label get; the challenger stands at the label
challenger, canary or shadow. All is read from the manifests and histories in the workdir; no
database is needed."""

_REBUILD = """

Manifests, histories and models.config are the truth, and MLflow a copy: what it lacks is written,
and aliases are moved to where they are. The runs that the models are made of are told of, too."""

_COLUMNS = ("version", "published", "verified", "names", "served", "run", "dataset", "commit")


def show_all(options: Listed) -> None:
    """Prints the models and who serves."""
    from podway.launch.registry import record

    found = {model: record.versions(model, options.workdir) for model in _models(options.workdir)}
    if options.json:
        told = {model: [each.to_json() for each in of] for model, of in found.items()}
        print(json.dumps(told, indent=1))
        return
    rows = [("model", "versions", "champion", "challenger", "labels", "newest")]
    for model, of in found.items():
        named = record.aliases(model, options.workdir)
        labels = sorted({label for each in of for label in each.labels})
        rows.append(
            (
                model,
                f"{len(of)}",
                f"{named.get(record.CHAMPION, '–')}",
                f"{named.get(record.CHALLENGER, '–')}",
                ", ".join(f"{label} {named[label]}" for label in labels) or "–",
                of[-1].published if of else "–",
            )
        )
    _print(rows)


def show(options: Shown) -> None:
    """Prints the versions of a model, or one with all that is known of it."""
    from podway.launch.registry import record

    found = record.versions(options.model, options.workdir)
    if options.version:
        found = [record.find(options.model, options.version, options.workdir)]
    if options.json:
        print(json.dumps([each.to_json() for each in found], indent=1))
        return
    if not options.version:
        rows: list[tuple[str, ...]] = [_COLUMNS]
        for each in found:
            rows.append(
                (
                    f"{each.number}",
                    each.published,
                    "yes" if each.verified else "no",
                    ", ".join(each.aliases) or "–",
                    "yes" if each.served else "",
                    each.inputs.get("run", "–"),
                    each.inputs.get("dataset", "–"),
                    each.commit[:10] + (" with changes" if each.dirty else ""),
                )
            )
        _print(rows)
        return
    (version,) = found
    facts = version.to_json() | {
        "labels": ", ".join(version.labels) or "–",
        "aliases": ", ".join(version.aliases) or "–",
        "inputs": ", ".join(f"{kind} {each}" for kind, each in version.inputs.items()),
        "metrics": ", ".join(f"{name} {value:.4g}" for name, value in version.metrics.items()),
    }
    _print([(name, str(value)) for name, value in facts.items()])


def rebuild(options: Rebuild) -> None:
    """Writes the registry."""
    from podway.launch.follower import catch_up
    from podway.launch.registry import record
    from podway.launch.tracking import address

    names = _models(options.workdir)
    workdir, artefacts = catch_up.found(options.workdir)
    told = catch_up.tracking(workdir, artefacts)
    to = address.given(options.uri, options.experiment, told)

    from podway.launch.follower import tell
    from podway.launch.tracking import database

    try:
        target = database.Database(to, workdir)
        for kind, directory in artefacts:
            if kind == "model":
                tell.tell(target, kind, directory)
    except database.ERRORS as error:
        text = str(error).partition("\n")[0]
        raise PodwayError(f"--uri {to} does not take what it is told: {text}") from error
    for name in names:
        found = record.versions(name, options.workdir)
        named = record.aliases(name, options.workdir)
        told_names = ", ".join(f"{alias} {at}" for alias, at in sorted(named.items()))
        print(f"registry: {name}: {len(found)} versions in {to}; {told_names or 'no alias'}")


def _models(workdir: str) -> list[str]:
    from podway.launch.registry import record

    found = record.models(workdir)
    check(
        bool(found),
        f"no model is published in --workdir {workdir}; `podway run CONFIG --workdir {workdir}`"
        " makes and publishes one",
    )
    return found


def _print(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


LIST = Verb(
    "published models, and which version is the champion",
    Listed,
    show_all,
    of="",
    more=_LIST,
    example="podway registry --workdir w",
)
SHOW = Verb(
    "versions of a model: run, data, commit, names",
    Shown,
    show,
    of="MODEL",
    more=_LIST,
    example="podway registry show movielens_sasrec --version champion --workdir w",
)
REBUILD = Verb(
    "write MLflow's registry anew",
    Rebuild,
    rebuild,
    of="",
    more=_REBUILD,
    example="podway registry rebuild --uri sqlite:///mlflow.db --workdir w",
)
