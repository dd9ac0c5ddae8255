"""Models for the default target, verified by each TensorFlow that the target promises.

Each release is installed from the package index into an environment of its own, with what
`python -m podway.export.verification` needs beside it and without JAX, and removed afterwards.
"""

import os
import pathlib
import platform
import shutil
import subprocess
import sys
import venv

import pytest

from podway.export.lowering.target import TARGETS
from podway.framework.config import Export
from tests.export.graph.test_labels import shop  # noqa: F401 (a fixture)
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


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_tensorflow_since_the_target_answers_as_jax_does(shop, published, tmp_path):  # noqa: F811
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
            models = [os.fspath(published), os.fspath(shop.published)]
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
