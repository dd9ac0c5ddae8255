"""`podway launch TARGET CONFIG`, and what is done to what was launched."""
