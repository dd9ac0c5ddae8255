"""Verbs that look for a better experiment."""
