"""What is served of a model: one file for each kind of model."""
