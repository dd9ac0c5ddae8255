"""Code as data: classes by name, who imports whom, what a version hashes, where all comes from."""
