"""The platform that computes is the one that was asked for."""

import importlib.util
import os

import jax

from podway.framework import exit_codes
from podway.framework.devices import cuda
from podway.framework.error import PodwayError

_KINDS = dict.fromkeys(cuda.PLATFORMS, "gpu") | {"rocm": "gpu", "tpu": "tpu"}
"""A name in JAX_PLATFORMS → what JAX calls such devices."""


class PlatformError(PodwayError, RuntimeError):
    """JAX does not compute on what JAX_PLATFORMS asks for.

    Where that is the machine's fault, the same command may get further on another one.
    """

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.exit_code = code


def check() -> None:
    """Raises PlatformError where JAX computes on another platform than JAX_PLATFORMS names first.

    JAX says nothing of a platform whose plugin is missing, or fails: it takes the next one, and a
    pod that was rented for its accelerators trains on its CPU.
    """
    wanted, said = os.environ.get("JAX_PLATFORMS", "").split(",")[0], ""
    if wanted not in _KINDS:
        return
    try:
        found = jax.default_backend()
    except (AssertionError, RuntimeError) as error:  # there is no next one
        found, said = "nothing", str(error)
    if found == _KINDS[wanted]:
        return
    why, code = f"JAX found {found}", exit_codes.CRASHED
    if wanted == "tpu" and importlib.util.find_spec("libtpu") is None:
        why, code = "libtpu is not installed: take podway[tpu]", exit_codes.REFUSED
    elif wanted in cuda.PLATFORMS and not cuda.has_plugin():
        why, code = "its plugin is not installed: take podway[cuda13]", exit_codes.REFUSED
    elif wanted in cuda.PLATFORMS and not cuda.has_driver():
        why, said = cuda.NO_DRIVER, ""
    ending = f": {said}" if said else ""
    raise PlatformError(f"JAX_PLATFORMS asks for {wanted}, and {why}{ending}", code)
