"""The lander as a Beam pipeline that does not end: Pub/Sub → the same shards."""
