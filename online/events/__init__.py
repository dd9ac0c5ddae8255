"""What users do and what they are shown: typed, versioned, checked at the door."""
