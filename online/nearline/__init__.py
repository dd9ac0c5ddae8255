"""Events → histories, counters and session features in the store, within a second."""
