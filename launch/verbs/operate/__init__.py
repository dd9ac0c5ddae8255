"""What is done to models that are there."""
