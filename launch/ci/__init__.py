"""What a repository of models checks before a change is merged."""
