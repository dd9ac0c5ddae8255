"""A dataset to batches."""
