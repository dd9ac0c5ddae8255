"""CUDA's plugin on a machine without NVIDIA's driver. Pure Python, loads nothing of JAX."""

import ctypes
import importlib.util
import logging
import os
import pkgutil

NO_DRIVER = (
    "NVIDIA's driver (libcuda.so.1) is not on this machine; a container has it if it is started"
    " with a GPU"
)
PLATFORMS = ("cuda", "gpu")
"""How JAX_PLATFORMS names it."""
_LOGGER = "jax._src.xla_bridge"
_FAILED = "Jax plugin configuration error"


def prepare() -> None:
    """Has a sentence say that there is no driver: call it before JAX starts.

    Without this JAX, whose plugin fails then, prints a long traceback that blames a library which
    is there, and computes on the CPU.
    """
    logging.getLogger(_LOGGER).addFilter(_in_words)


def has_driver() -> bool:
    """Whether NVIDIA's driver can be loaded, as JAX's plugin does it."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def has_plugin() -> bool:
    """Whether JAX's plugin for CUDA is installed."""
    spec = importlib.util.find_spec("jax_plugins")
    places = spec.submodule_search_locations if spec else None
    return any(each.name.startswith("xla_cuda") for each in pkgutil.iter_modules(places or []))


def _in_words(record: logging.LogRecord) -> bool:
    """A filter: whether JAX's complaint is shown. Of those that are named `platforms` tells."""
    ours = str(record.msg).startswith(_FAILED) and "xla_cuda" in record.getMessage()
    if not ours or has_driver():
        return True
    if os.environ.get("JAX_PLATFORMS"):
        return False
    record.msg = f"podway: JAX computes on the CPU: {NO_DRIVER} (JAX_PLATFORMS=cpu: it is meant)"
    record.args, record.exc_info, record.exc_text = (), None, None
    return True
