"""The served graph, in TensorFlow's operations."""
