"""What each service has: a page of health and metrics, and an end in good order."""
