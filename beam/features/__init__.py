"""Features fitted and executed on Arrow columns."""
