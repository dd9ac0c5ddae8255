"""The embedded server beside what users pick instead. The command is in `__main__`."""
