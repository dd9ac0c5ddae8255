"""Raw files to tables of text and numbers."""
