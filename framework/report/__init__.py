"""Pages of runs and evaluations."""
