"""How a process that trains on a CPU gets its memory from the system."""

import ctypes

import jax

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Of glibc's malloc.h."""

_KEPT = 2**31 - 1
"""Bytes at the heap's end that may be free before they are given back."""


def reuse() -> None:
    """Makes the memory of a step serve the next one, instead of going back to the system.

    To be called before JAX touches a device. A step's values lie in one piece of memory, often of
    some hundred MB, and to get its pages from the system anew each time may take a third of the
    step. Only the heap is kept, and only arrays of the main thread may lie there, whatever their
    size; so programs run in the thread that calls them. Does nothing for accelerators' memory, nor
    where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, _KEPT)
    jax.config.update("jax_cpu_enable_async_dispatch", False)
