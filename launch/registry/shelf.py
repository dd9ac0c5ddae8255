"""A model's versions in MLflow's registry: numbered, tagged and named as in the workdir."""

from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.framework.error import PodwayError
from podway.launch.registry import record
from podway.launch.registry.record import Version
from podway.launch.tracking import ids, names
from podway.launch.tracking.told import key

_PLACE, _OURS = "podway.place", "podway.aliases"
_ABSENT = "RESOURCE_DOES_NOT_EXIST"


def fill(database: Any, home: epath.Path) -> list[Version]:
    """Writes what the registry lacks of the model in a folder, moves its aliases, and takes away
    those that moved away.

    Args:
      database: a Database of launch/tracking/database.py; what it raises is raised here.
      home: WORKDIR/models/NAME.

    Returns its versions. Raises PodwayError: the registry has another model of this name.
    """
    workdir, model = home.parent.parent, home.name
    found = record.versions(model, workdir)
    client = database.client
    known = _registered(client, model)
    there = {int(each.version): each for each in client.search_model_versions(f"name='{model}'")}
    _check_same(database, model, home, found, there)
    if known is None:
        known = client.create_registered_model(model, tags={_PLACE: str(home)})
    elif known.tags.get(_PLACE) != str(home):
        client.set_registered_model_tag(model, _PLACE, str(home))
    for version in found:
        run = ids.read(
            workdir, key("run", model, version.inputs.get("run", "")), database.address.id
        )
        tags = _tags(version)
        if version.number not in there:
            _create(database, version, run.get("run"), tags)
        else:
            old = there[version.number].tags
            for name, text in tags.items():
                if old.get(name) != text:
                    client.set_model_version_tag(model, str(version.number), name, text)
    _name(client, model, known, record.aliases(model, workdir))
    return found


def _registered(client: Any, model: str) -> Any:
    from mlflow import exceptions

    try:
        return client.get_registered_model(model)
    except exceptions.MlflowException as error:
        if error.error_code != _ABSENT:
            raise
        return None


def _check_same(
    database: Any, model: str, home: epath.Path, found: list[Version], there: Mapping[int, Any]
) -> None:
    """Raises PodwayError where a number stands for another model there."""
    for version in found:
        if version.number not in there:
            continue
        tags = there[version.number].tags
        if tags.get("podway.artefact") != version.artefact:
            raise PodwayError(
                f"version {version.number} of the model {model} in {database.address} is another"
                f" one than {version.place}: it is of {tags.get(_PLACE, 'somebody else')}; give a"
                " database of its own, or export under another name"
            )


def _create(database: Any, version: Version, run: str | None, tags: dict[str, str]) -> None:
    """Numbers are given in turn: those that we do not have are made, and taken away."""
    client, local = database.client, "://" not in version.place
    server = database.address.uri.startswith("http")
    source = (
        f"podway:{version.place}" if local and server else version.place
    )  # a server takes no path
    while True:
        made = client.create_model_version(version.model, source, run, tags=tags)
        if int(made.version) == version.number:
            return
        client.delete_model_version(version.model, made.version)
        if int(made.version) > version.number:
            raise PodwayError(
                f"the registry in {database.address} has no version {version.number} of"
                f" {version.model}, and gives that number away no more, as it goes on with"
                f" {made.version}: `podway registry rebuild` into a new database"
            )


def _name(client: Any, model: str, known: Any, wanted: Mapping[str, int]) -> None:
    """Moves aliases; takes away those that we have set and nobody wants now, and no others."""
    wanted = {name: number for name, number in wanted.items() if record.is_alias(name)}
    there = {name: int(number) for name, number in known.aliases.items()}
    ours = set((known.tags.get(_OURS) or "").split())
    for name, number in wanted.items():
        if there.get(name) != number:
            client.set_registered_model_alias(model, name, str(number))
    for name in sorted((ours & set(there)) - set(wanted)):
        client.delete_registered_model_alias(model, name)
    if ours != set(wanted):
        client.set_registered_model_tag(model, _OURS, " ".join(sorted(wanted)))


def _tags(version: Version) -> dict[str, str]:
    facts = {
        _PLACE: version.place,
        "podway.artefact": version.artefact,
        "podway.files": version.files,
        "podway.published": version.published,
        "podway.verified": version.verified,
        "podway.git.dirty": version.dirty if version.commit else None,
        "mlflow.source.git.commit": version.commit,
        "podway.served": version.served,
        "podway.gate": version.gate,
        "podway.gate.report": version.report,
        "podway.rollout": version.rollout,
    }
    facts |= {f"podway.input.{kind}": each for kind, each in version.inputs.items()}
    facts |= {
        f"podway.test.{names.metric(name)}": f"{value:.6g}"
        for name, value in version.metrics.items()
    }
    return names.tags(facts)
