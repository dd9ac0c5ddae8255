"""What machines, chips, bytes and requests cost, each figure with its source."""
