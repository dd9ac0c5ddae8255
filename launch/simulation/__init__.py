"""Users who are not there: a world of changing taste, for demos, tests and load."""
