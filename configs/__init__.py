"""One file per experiment: `experiment()` returns the Experiment; the docstring states its cost."""
