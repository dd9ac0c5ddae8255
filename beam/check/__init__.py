"""What a dataset must be like: declarations, and findings against them."""
