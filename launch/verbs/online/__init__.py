"""Verbs of the services that run while users are there."""
