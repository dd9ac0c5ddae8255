"""Continuous training: new raw data → a model that is checked, gated and served."""
