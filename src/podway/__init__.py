"""Raw events to a served, verified model."""
