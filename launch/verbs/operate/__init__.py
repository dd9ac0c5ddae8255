"""The verbs that act on what serves."""
