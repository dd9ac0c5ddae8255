"""Plain machines by ssh, without a scheduler: checked, started, followed and stopped."""
