"""How a model is evaluated."""
