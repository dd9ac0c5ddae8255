"""Histories of a dataset → the store."""
