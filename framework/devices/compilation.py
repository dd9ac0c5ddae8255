"""What has to be set before JAX compiles anything: where programs are kept, and determinism."""

import os

import jax
from etils import epath

DETERMINISTIC = ("--xla_gpu_deterministic_ops=true",)
"""XLA flags with which a GPU adds up in the same order each time; slower where scatters are. A TPU
and a CPU do so anyway (the tests compare runs on a CPU bit by bit)."""


OFF = "off"


def folder(given: str, workdir: epath.PathLike) -> str | None:
    """Where programs are kept: as given, or as JAX's own variable says, or in the workdir."""
    if given == OFF:
        return None
    return (
        given
        or os.environ.get("JAX_COMPILATION_CACHE_DIR")
        or str(epath.Path(workdir) / "compiled")
    )


def keep(directory: epath.PathLike | None) -> None:
    """Keeps compiled programs in a directory, so that the next process need not compile them.

    A program is found by a hash of its code, the devices, the flags and JAX's and XLA's versions.
    None: nothing is kept.
    """
    jax.config.update("jax_compilation_cache_dir", directory and str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def make_deterministic() -> None:
    """To be called before JAX touches a device: the same program gives the same bits each time."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    os.environ["XLA_FLAGS"] = " ".join([*flags, *(f for f in DETERMINISTIC if f not in flags)])
