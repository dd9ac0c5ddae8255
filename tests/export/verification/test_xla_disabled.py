"""A runtime in which XLA is switched off, as tensorflow_model_server's is without its flag.

Without --xla_cpu_compilation_enabled TensorFlow Serving calls DisableXlaCompilation, a function of
TensorFlow's, as this does.
"""

import pathlib
import subprocess
import sys

import pytest

from tests.test_walls import ROOT

LOAD = """
import ctypes, pathlib, sys

import tensorflow as tf
from etils import epath

from podway.export.server.models import loader
from podway.export.server.error import ServerError
from podway.export.server.metrics import Metrics

library, = pathlib.Path(tf.__file__).parent.glob("libtensorflow_cc.so.*")
if "off" in sys.argv:
    ctypes.CDLL(str(library))._ZN10tensorflow21DisableXlaCompilationEv()
try:
    path = epath.Path(sys.argv[1])
    loader.load(path, path, "m version 1", loader.Loading(), Metrics())
    print("loaded")
except ServerError as error:
    print(error)
"""


def loaded(directory: pathlib.Path, *switches: str) -> str:
    """What the server says of a version that it is to load."""
    command = [sys.executable, "-c", LOAD, str(directory), *switches]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="where TensorFlow's library is elsewhere")
def test_without_xla_the_warm_up_fails_with_the_text_that_the_docs_have(published):
    said = loaded(published, "off")
    assert said.startswith("warm-up failed: ")
    assert "record 1: " in said
    assert "XLA compilation disabled" in said
    assert "`XLA compilation disabled`" in (ROOT / "docs" / "howto" / "tf_serving.md").read_text()
    assert loaded(published) == "loaded"
