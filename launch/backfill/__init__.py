"""What a dataset keeps of its users and items, for the online store."""
