"""How a backend is asked: in the time that is left, not when it fails, and twice when it is slow."""
