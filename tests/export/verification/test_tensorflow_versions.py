"""Models for the default target, verified by each TensorFlow that the target promises.

Each release is installed from the package index into an environment of its own, with what
`python -m podway.export.verification` needs beside it and without JAX, and removed afterwards.
"""

import dataclasses
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import venv

import jax
import numpy as np
import pytest
from etils import epath

from podway.export import layout, stage
from podway.export.error import ExportError
from podway.export.lowering.target import TARGETS
from podway.export.served.recommender import ServedRecommender
from podway.export.verification import golden, verify
from podway.framework import artifact
from podway.framework.compression import calibration, tables
from podway.framework.compression.quantize import Float8, Int4, Int8
from podway.framework.config import Export
from tests.export.graph.test_labels import export, shop  # noqa: F401 (a fixture)
from tests.test_walls import ROOT

RELEASES = {"2.18": "2.18.1", "2.19": "2.19.1", "2.20": "2.20.0", "2.21": "2.21.0"}
"""Target → the last release of it."""

VERIFY = """
import sys
import tensorflow as tf
from podway.export.verification import verify

assert "jax" not in sys.modules
print(tf.__version__)
for directory in sys.argv[1:]:
    print(verify.verify(directory))
"""


def install(release: str, place: pathlib.Path) -> str:
    """Makes an environment; returns why it could not be made, or ""."""
    venv.create(place)
    wheel = "tensorflow-cpu" if (platform.machine(), sys.platform) == ("x86_64", "linux") else ""
    pip = [sys.executable, "-m", "uv", "pip", "install", "--quiet"]
    pip += ["--python", str(place / "bin" / "python")]
    for packages in (
        [f"{wheel or 'tensorflow'}=={release}", "etils[epath]", "tqdm"],
        ["--no-deps", f"tensorflow-serving-api=={release}", "grpcio"],
    ):
        done = subprocess.run([*pip, *packages], capture_output=True, text=True)
        if done.returncode:
            return f"{release}: {' '.join(done.stderr.split())[:300]}"
    return ""


STORED = {
    "int8": Int8(dense=True),
    "int4": Int4(dense=True),
    "int4_groups": Int4(group=4),
    "float8": Float8(),
    "w8a8": Int8(dense=True, activations=True),
}
"""How tables and kernels are stored, by the name of the model."""


def publish(trained, name: str, workdir: pathlib.Path) -> epath.Path:
    """The small model in a format, published, which verifies it by this TensorFlow."""
    step, experiment = STORED[name], dataclasses.replace(trained.experiment, name=name)
    reach = dict.fromkeys(tables.kernels(trained.parameters) * (name == "w8a8"), np.float32(4))
    parameters = step.stored(experiment.model, trained.schema, trained.parameters, reach)
    return stage.export(
        ServedRecommender(experiment, trained.schema, trained.vocabulary),
        parameters=jax.device_get(parameters),
        inputs={"run": name, "dataset": "d1"},
        workdir=workdir,
    )


def test_layers_of_integers_answer_as_jax_but_for_what_their_rounding_moves(trained, tmp_path):
    """A number between two integers may go to either, in another program of the same model."""
    model = publish(trained, "w8a8", tmp_path)
    content = golden.read(model)
    rounding = content["rounding"]
    scores = np.array([row["answer"]["scores"] for row in content["rows"]])
    assert 0 < rounding < np.abs(scores).max() / 10
    report = artifact.read_manifest(model, "model", manifest=layout.MANIFEST).details["verified"]
    assert re.search(r"score \d.\de-\d\d \(rounding to integers moves one by \d", report)
    for row in content["rows"]:
        row["answer"]["scores"] = [each + 3 * rounding for each in row["answer"]["scores"]]
    golden.write(model, content)
    with pytest.raises(ExportError, match=r"row 0, place 0: score .*, JAX says"):
        verify.verify(model)


def publish_rows(shop, folder: pathlib.Path) -> epath.Path:  # noqa: F811
    """The model of rows with integers, some of them in stacked layers, likewise."""
    reach = calibration.reach(
        shop.experiment, shop.dataset, shop.parameters, batches=2, percentile=100
    )
    parameters = STORED["w8a8"].stored(
        shop.experiment.model, shop.dataset.schema, shop.parameters, reach
    )
    assert any(path.startswith("experts/") for path in reach)
    return export(shop.experiment, shop.dataset, jax.device_get(parameters), folder)


@pytest.fixture
def compressed(trained, shop, tmp_path) -> list[epath.Path]:  # noqa: F811
    found = [publish(trained, name, tmp_path / "compressed") for name in STORED]
    return [*found, publish_rows(shop, tmp_path / "rows")]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_tensorflow_since_the_target_answers_as_jax_does(
    shop,  # noqa: F811
    published,
    compressed,
    tmp_path,
):
    assert list(RELEASES) == list(TARGETS)
    assert Export().target == shop.experiment.export.target == next(iter(RELEASES))
    missing = []
    for release in RELEASES.values():
        place = tmp_path / release
        if reason := install(release, place):
            missing.append(reason)
        else:
            environment = os.environ | {
                "PYTHONPATH": str(ROOT / "src"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "CUDA_VISIBLE_DEVICES": "-1",
                "XLA_FLAGS": "",
            }
            models = [os.fspath(each) for each in (published, shop.published, *compressed)]
            done = subprocess.run(
                [place / "bin" / "python", "-P", "-c", VERIFY, *models],
                env=environment,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"{release}: {done.stdout[-500:]} {done.stderr[-2000:]}"
            lines = done.stdout.splitlines()
            assert lines[0] == release
            reports = [line for line in lines if line.startswith("verified: ")]
            assert len(reports) == len(models)
            print(release, *reports, sep="\n  ")
        shutil.rmtree(place)
    if missing:
        pytest.skip(f"could not be installed: {'; '.join(missing)}")
