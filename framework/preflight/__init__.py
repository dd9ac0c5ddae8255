"""What a program takes and costs, before anything runs."""
