"""Where an experiment can be run and served: each target renders, checks, applies and follows."""
