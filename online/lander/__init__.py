"""Events of the queue → files of raw events that never change, each event in the hour it is of."""
