"""Steps from a run to a smaller or faster one (config.Compression), and how they are made."""
