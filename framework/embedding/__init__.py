"""Sparse embedding tables: where rows lie, and how they travel and change."""
