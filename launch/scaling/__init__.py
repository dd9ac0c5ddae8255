"""`podway scaling`: how quality grows with parameters, data and steps."""
