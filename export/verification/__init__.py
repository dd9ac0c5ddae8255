"""Does a SavedModel answer as JAX did? Knows no JAX; a file for each kind of model."""
