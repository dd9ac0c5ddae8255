"""What came of an experiment: from events to differences between arms, with intervals."""
