"""How this process gets its memory from the system."""

import contextlib
import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Of glibc's malloc.h."""

_LARGEST = 32 << 20
"""Bytes; the highest threshold that glibc takes."""

_KEPT = 1 << 28
"""Bytes at the heap's end that may be free before they are given back."""


def reuse() -> None:
    """Makes freed arrays serve the next ones, instead of going back to the system.

    The data stage makes and drops arrays of some MB all the time, and to get a page from the system
    takes longer than to fill it. Threads share one heap, as what is freed in one does not serve
    another. Does nothing where the C library is not glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, _KEPT)
