"""What was made from what, from a served version to raw files and back; how to make it again."""
