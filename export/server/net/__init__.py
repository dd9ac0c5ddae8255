"""Ports, and who listens there."""
