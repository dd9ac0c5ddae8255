"""The verbs that act on what serves, and make what will."""
