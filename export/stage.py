"""The export stage: parameters → a verified, published model."""

import pathlib
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath

from podway.export import identity, layout
from podway.export.card import card
from podway.export.error import ExportError
from podway.export.served.labels import ServedLabels
from podway.export.served.recommender import ServedRecommender
from podway.export.served.served import Served, write
from podway.export.signature.minisign import SecretKey
from podway.export.verification import golden, verify
from podway.export.versions import promote, publish
from podway.framework import codec, config, task
from podway.framework.code import sources
from podway.framework.input.dataset import Dataset


def served(experiment: config.Experiment, dataset: Dataset) -> Served:
    """The experiment's model as what it is: one of labels, or a recommender."""
    if isinstance(experiment.model, task.LabelModel):
        return ServedLabels(experiment, dataset)
    attributes = {name: texts.tolist() for name, texts in dataset.attributes("item").items()}
    return ServedRecommender(experiment, dataset.schema, dataset.vocabulary("item"), attributes)


def export(
    model: Served,
    *,
    parameters: dict[str, np.ndarray],
    inputs: Mapping[str, str],
    workdir: epath.PathLike,
    run_code: Sequence[str] = (),
    serve: bool = True,
    key: SecretKey | None = None,
) -> epath.Path:
    """Lowers, writes, verifies and publishes a model; it is served from then on, unless it has a
    gate to pass first.

    Args:
      model: what to export.
      parameters: by path, as podway.framework.task.merge takes them.
      inputs: versions of the artefacts that this is made from, by kind.
      workdir: models/ lies in it.
      run_code: hashes of the code that the parameters are of: that made them, then others that
        they were kept for (--code keep).
      serve: whether it serves from then on, if it has no gate to pass.
      key: that signs it; None: it is not signed.

    Returns models/NAME/VERSION. Raises ConfigError, ExportError, OSError; then nothing is published
    and nothing left behind.
    """
    experiment = model.experiment
    _check_finite(parameters)
    with tempfile.TemporaryDirectory(prefix="podway-export-") as scratch:
        built = pathlib.Path(scratch) / experiment.name
        details = write(model, built, parameters)
        report = verify.in_fresh_process(built)
        print(report, flush=True)
        details |= {promote.VERIFIED: report, "run_code": list(run_code)}
        if experiment.gate.rules:
            details |= {layout.GATE: codec.to_json(experiment.gate)}
        code = sources.code("model", experiment)
        return publish.publish(
            built,
            name=experiment.name,
            workdir=workdir,
            version=identity.version(experiment, inputs),
            config=identity.identity(experiment),
            inputs=inputs,
            code=code,
            details=details,
            serve=serve and not experiment.gate.rules,
            key=key,
            beside=lambda number: card.texts(
                experiment,
                version=number,
                inputs=inputs,
                workdir=workdir,
                details=details,
                golden=golden.read(built),
                code=code,
            ),
        )


def _check_finite(parameters: Mapping[str, np.ndarray]) -> None:
    for path, array in parameters.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            wrong = int((~np.isfinite(array)).sum())
            raise ExportError(
                f"{wrong:,} of the {array.size:,} numbers of the parameter {path} are not finite;"
                " export a checkpoint from before training diverged"
            )
