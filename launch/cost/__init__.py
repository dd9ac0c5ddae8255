"""What answers and trainings cost in money."""
