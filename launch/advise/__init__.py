"""`podway advise`: which model fits a budget, and whether a simpler one is as good."""
