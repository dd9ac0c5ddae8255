"""JAX itself, beside a plugin for CUDA that fails as NVIDIA's does where there is no driver."""

import os
import pathlib
import subprocess
import sys

import pytest

from podway.framework import exit_codes
from podway.framework.devices import cuda

PLUGIN = "def initialize(): raise RuntimeError('Unable to load cuPTI. Is it installed?')\n"
PROGRAM = """
from podway.framework.devices import cuda, platforms
from podway.framework.error import PodwayError

cuda.prepare()
cuda.has_driver = lambda: {driver}
try:
    platforms.check()
except PodwayError as error:
    print(error.exit_code, error)
else:
    import jax
    print(jax.default_backend())
"""


@pytest.fixture
def plugin(tmp_path) -> pathlib.Path:
    """A folder that has it, and a libtpu that is none."""
    (tmp_path / "jax_plugins" / "xla_cuda13").mkdir(parents=True)
    (tmp_path / "jax_plugins" / "xla_cuda13" / "__init__.py").write_text(PLUGIN)
    return tmp_path


def ask(platforms: str = "", folder: pathlib.Path | None = None, driver: bool = False):
    """A process that asks JAX for its devices, as a training does."""
    kept = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
    kept |= {"JAX_PLATFORMS": platforms} if platforms else {}
    kept["PYTHONPATH"] = os.pathsep.join(
        [*([str(folder)] if folder else []), kept.get("PYTHONPATH", "")]
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(driver=driver)],
        env=kept,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def test_without_a_driver_a_sentence_says_that_the_cpu_computes(plugin):
    done = ask("", plugin)
    assert done.stdout == "cpu\n"
    assert f"podway: JAX computes on the CPU: {cuda.NO_DRIVER}" in done.stderr
    assert "Traceback" not in done.stderr


def test_with_a_driver_jax_says_what_is_wrong(plugin):
    done = ask("", plugin, driver=True)
    assert "Unable to load cuPTI" in done.stderr


def test_who_wants_the_cpu_reads_nothing(plugin):
    done = ask("cpu", plugin)
    assert (done.stdout, done.stderr) == ("cpu\n", "")


@pytest.mark.parametrize("platforms", ["cuda,cpu", "cuda"])
def test_who_must_have_a_gpu_is_not_given_the_cpu(plugin, platforms):
    done = ask(platforms, plugin)
    said = f"{exit_codes.CRASHED} JAX_PLATFORMS asks for cuda, and {cuda.NO_DRIVER}\n"
    assert done.stdout == said
    assert done.stderr == ""


def test_an_image_that_knows_no_gpu_is_the_users_mistake():
    done = ask("cuda,cpu")
    said = "JAX_PLATFORMS asks for cuda, and its plugin is not installed: take podway[cuda13]"
    assert done.stdout == f"{exit_codes.REFUSED} {said}\n"
