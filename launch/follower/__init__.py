"""What tells the tracking database: a process beside the command, or one command afterwards."""
