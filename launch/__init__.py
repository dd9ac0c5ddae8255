"""The `podway` command, and where things run. Nobody imports this room."""
