"""The pipeline's graph and its steps."""
