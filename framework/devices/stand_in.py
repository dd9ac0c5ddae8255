"""GPUs that are not there, for XLA's compiler: what it is told of a chip, and where its tools lie.

The plugin compiles for a GPU that its target config describes. What it would try on the device,
autotuning, it leaves out, and so it may choose other tiles than on the GPU itself.
"""

import dataclasses
import importlib.util
import os
from typing import Any

from podway.framework.devices.hardware import Accelerator


@dataclasses.dataclass(frozen=True)
class Chip:
    """What a kernel finds on a chip.

    Attributes:
      name: the device's own.
      capability: CUDA's compute capability.
      processors: streaming multiprocessors.
      lanes: f32 units of each.
      shared: bytes of shared memory of each.
      opt_in: of these, what one block may ask for.
      cache: bytes of the second-level cache.
      clock: GHz.
    """

    name: str
    capability: tuple[int, int]
    processors: int
    lanes: int
    shared: int
    opt_in: int
    cache: int
    clock: float


CHIPS = {
    "a100": Chip("NVIDIA A100-SXM4-80GB", (8, 0), 108, 64, 167_936, 166_912, 40 << 20, 1.41),
    "h100": Chip("NVIDIA H100 80GB HBM3", (9, 0), 132, 128, 233_472, 232_448, 50 << 20, 1.98),
    "h200": Chip("NVIDIA H200", (9, 0), 132, 128, 233_472, 232_448, 60 << 20, 1.98),
}
"""By the accelerator's name. Figures: openxla/xla, xla/backends/gpu/target_config/specs."""

_DNN = (9, 12, 0)
"""The cuDNN that programs are compiled for."""


def target_config(accelerator: Accelerator) -> str:
    """XLA's GpuTargetConfigProto of a chip, as text."""
    chip = CHIPS[accelerator.name]
    major, minor, patch = _DNN
    return f"""
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  threads_per_core_limit: 2048
  shared_memory_per_block: 49152
  shared_memory_per_core: {chip.shared}
  shared_memory_per_block_optin: {chip.opt_in}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  core_count: {chip.processors}
  fpus_per_core: {chip.lanes}
  l2_cache_size: {chip.cache}
  clock_rate_ghz: {chip.clock}
  memory_bandwidth: {round(accelerator.hbm_bandwidth)}
  device_memory_size: {accelerator.memory}
  cuda_compute_capability {{ major: {chip.capability[0]} minor: {chip.capability[1]} }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: {major} minor: {minor} patch: {patch} }}
device_description_str: "{chip.name}"
"""


def is_installed() -> bool:
    """Whether JAX's plugin for CUDA is, and NVIDIA's assembler."""
    return importlib.util.find_spec("jax_cuda13_plugin") is not None and _tools() is not None


def prepare() -> None:
    """Lets the plugin load where there is no driver: call it before JAX starts."""
    os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"
    if (tools := _tools()) is not None:
        flag = f"--xla_gpu_cuda_data_dir={tools}"
        if flag not in (given := os.environ.get("XLA_FLAGS", "")):
            os.environ["XLA_FLAGS"] = f"{given} {flag}".strip()


def devices(accelerator: Accelerator, nodes: int, each: int) -> list[Any]:
    """Stand-ins of the GPUs of some machines, in order. `prepare` came before JAX started."""
    from jax.experimental import topologies

    shape = f"{nodes}x1x{each}"
    described = topologies.get_topology_desc(
        platform="cuda",
        topology_name=shape,
        topology=shape,
        target_config=target_config(accelerator),
    )
    return list(described.devices)


def _tools() -> str | None:
    """The folder of NVIDIA's packages in which the assembler lies (nvidia-cuda-nvcc)."""
    spec = importlib.util.find_spec("nvidia")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if os.path.exists(f"{place}/cu13/bin/ptxas"):
            return f"{place}/cu13"
    return None
