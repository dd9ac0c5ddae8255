"""Versions of a model: published, promoted, removed."""
