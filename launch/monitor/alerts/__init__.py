"""Which metrics there are, which alerts read them, and the files that say so to others."""
