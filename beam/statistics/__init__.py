"""Statistics of columns that merge in any order."""
