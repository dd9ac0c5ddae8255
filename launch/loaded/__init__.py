"""A run or a published model in memory, and what may be asked of it."""
