"""Matrices of parameters in fewer bytes: how they lie among the others, and compute."""
