"""What a sweep costs in money: an answer of each trial, and the trainings."""
