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
steps = []
for _ in range(9):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step(x).block_until_ready()
    steps.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sorted(steps)[4])
"""


def faults(before: str) -> int:
    """Pages that a step gets from the system, the median of nine: the heap may grow once more."""
    script = FAULTS.format(before=before)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_a_step_needs_no_new_memory():
    pages = 2 * 3000**2 * 4 // 4096
    assert faults("") > pages // 2
    reused = "from podway.framework.devices import allocator; allocator.reuse()"
    # Of three processes: what else a process does may lie in the way, in one of some hundred.
    assert any(faults(reused) < pages // 20 for _ in range(3))
