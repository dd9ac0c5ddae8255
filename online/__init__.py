"""What runs while users are there: needs neither JAX nor TensorFlow nor Beam."""
