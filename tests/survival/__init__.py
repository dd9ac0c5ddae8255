"""What a bad day does to each stage of the chain: `python -m tests.survival`."""
