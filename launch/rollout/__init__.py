"""A published version comes to all users, or goes back: what decides, and what acts."""
