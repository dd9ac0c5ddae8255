"""The model as StableHLO, in JAX."""
