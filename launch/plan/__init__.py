"""From a stated load to chips, workers, replicas, stores and what they cost."""
