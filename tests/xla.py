"""XLA's options for tests: programs that run for milliseconds, whose compilation is what costs.

The values stay within the tests' tolerances; the programs are slower and their memory is larger, so
whoever measures those passes options of its own.
"""

QUICK = (
    "--xla_backend_optimization_level=0"
    " --xla_cpu_use_fusion_emitters=false"
    " --xla_cpu_parallel_codegen_split_count=1"
)
"""For a CPU: a third of the time that compiling takes without them."""


def flags(devices: int = 1) -> str:
    """XLA_FLAGS of a process that has so many devices."""
    return f"{QUICK} --xla_force_host_platform_device_count={devices}"
