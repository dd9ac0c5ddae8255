"""Signatures of published versions: who publishes signs, who serves checks before it loads."""
