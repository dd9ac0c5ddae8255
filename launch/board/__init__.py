"""The board: all that a workdir holds, on one page."""
