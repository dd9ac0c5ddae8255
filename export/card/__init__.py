"""The card of a published model: what it is, what it is worth, and how it is called."""
