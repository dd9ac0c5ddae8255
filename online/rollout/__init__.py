"""A rollout, as those see it who answer requests: who gets which version, and how it went."""
