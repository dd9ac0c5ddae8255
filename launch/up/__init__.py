"""All services of an experiment on one machine, in one terminal."""
