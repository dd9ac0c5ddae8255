"""What a dataset says of its features. Pure Python."""
