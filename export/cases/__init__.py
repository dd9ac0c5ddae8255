"""The golden cases, in JAX: requests and their answers. A file for each kind of model."""
