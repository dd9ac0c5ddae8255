"""The loop, its step, and the processes that run it."""
