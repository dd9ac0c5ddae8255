"""One model family per file: its dataclass (a Task) and its NNX module."""
