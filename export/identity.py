"""A model: what identifies it, and whether it is served already. No JAX, no TensorFlow."""

from collections.abc import Mapping
from typing import Any

from etils import epath

from podway.export import layout
from podway.export.versions import publish
from podway.framework import artifact, codec, config
from podway.framework.artifact import upgrade
from podway.framework.code import sources


def identity(experiment: config.Experiment) -> dict[str, Any]:
    """The part of an experiment that shapes a model, beside the run that it comes from."""
    parts = codec.to_json(experiment, versioned=True)
    shaping = {name: parts[name] for name in ("name", "model", "export")}
    return shaping | {"exclude_seen": parts["evaluation"]["exclude_seen"]}


def version(experiment: config.Experiment, inputs: Mapping[str, str]) -> str:
    """The content version of the model that would be made from the artefacts `inputs`."""
    code = sources.code("model", experiment)
    return artifact.version(kind="model", config=identity(experiment), inputs=inputs, code=code)


def current(
    experiment: config.Experiment,
    *,
    inputs: Mapping[str, str],
    workdir: epath.PathLike,
    choice: upgrade.Choice | None = None,
    serve: bool = True,
) -> epath.Path | None:
    """The version that was made from just this, if there is one: of those that are served, and with
    a gate, which keeps versions from serving, or where none is to `serve`, of all; then the latest.

    Raises:
      ArtifactError: a served version is missing or altered, or the one that was found.
      CodeChanged: one was made from just this by other code, and there is no choice.
    """
    wanted = version(experiment, inputs)
    others, home = [], layout.models(workdir) / experiment.name
    gated = bool(experiment.gate.rules) or not serve
    there = (publish.published if gated else publish.served)(experiment.name, workdir)
    for number, manifest in sorted(there.items(), reverse=True):
        if manifest.version == wanted:
            if gated:
                artifact.read(home / str(number), "model", manifest=layout.MANIFEST)
            return home / str(number)
        if artifact.identity_of(manifest.version) == artifact.identity_of(wanted):
            others.append(home / str(number))
    found = upgrade.choose(
        home / wanted,
        "model",
        sources.code("model", experiment),
        choice,
        others=others,
        manifest=layout.MANIFEST,
    )
    return found if found in others else None
