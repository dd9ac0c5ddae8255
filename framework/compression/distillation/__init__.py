"""What teachers say of a dataset's examples, and the models that learn from it."""
