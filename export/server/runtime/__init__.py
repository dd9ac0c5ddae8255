"""One model in memory: its session, its tensors."""
