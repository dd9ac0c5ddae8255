"""The subcommands of `podway`."""
