import subprocess
import sys

import pytest

FAULTS = """
import resource

import jax
import jax.numpy as jnp
{before}

@jax.jit
def step(x):
    table = jnp.outer(x, x)
    return (table @ table) @ x

x = jnp.ones(3000)
step(x).block_until_ready()
step(x).block_until_ready()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step(x).block_until_ready()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(before: str) -> int:
    """Pages that a step gets from the system."""
    script = FAULTS.format(before=before)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_a_step_needs_no_new_memory():
    pages = 2 * 3000**2 * 4 // 4096
    assert faults("") > pages // 2
    assert faults("from framework import allocator; allocator.reuse()") < pages // 20
