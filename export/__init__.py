"""The model stage: a run to a served, verified SavedModel."""
