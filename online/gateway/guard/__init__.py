"""How a backend is asked: in the time that is left, not while it fails, twice when it is slow."""
