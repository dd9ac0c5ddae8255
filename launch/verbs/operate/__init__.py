"""What is done to models that are there: they are trained again."""
