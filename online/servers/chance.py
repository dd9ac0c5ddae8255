"""Identifiers that no two requests share, made without asking the operating system each time.

Whoever asks it gives up the interpreter's lock, and waits for it behind the other threads: tens of
microseconds where the number itself takes less than one. They are no secrets.
"""

import os
import random

_CHANCE = random.Random(os.urandom(32))
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _CHANCE.seed(os.urandom(32)))


def hex64() -> str:
    """64 bits, as 16 hexadecimal digits; not all of them 0."""
    return f"{_CHANCE.getrandbits(64) or 1:016x}"


def hex128() -> str:
    """128 bits, as 32 hexadecimal digits; not all of them 0."""
    return f"{_CHANCE.getrandbits(128) or 1:032x}"
