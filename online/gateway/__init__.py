"""Recommendations for a user: history, model, rules, and what stands in when one is gone."""
