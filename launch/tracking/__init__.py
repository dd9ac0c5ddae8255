"""Runs, evaluations and models are told to a tracking database, by a process beside the command."""
