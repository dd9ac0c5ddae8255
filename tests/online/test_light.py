"""What runs while users are there starts at once, beside anything."""

import subprocess
import sys

import pytest

MODULES = (
    "podway.online.gateway.process.serve",
    "podway.online.nearline.run",
    "podway.online.rollout.client",
    "podway.online.servers.rest",
    "podway.online.servers.rpc",
    "podway.online.store.open",
)


@pytest.mark.parametrize("module", MODULES)
def test_nothing_heavy_is_loaded(module):
    heavy = "{'jax', 'flax', 'tensorflow', 'tensorflow_serving', 'apache_beam', 'numpy', 'pyarrow'}"
    code = f"import sys, {module}; sys.exit(str({heavy} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "", done.stderr
