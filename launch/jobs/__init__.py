"""What was launched: where each launch is, and how it is listed, followed and stopped there."""
