"""`podway compress`: steps of compression, and the report of what they bring and cost."""
