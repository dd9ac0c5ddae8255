"""The accelerator side, and what every stage shares. No TensorFlow, no Beam."""
