"""The gateway as a process, or several that share its ports."""
