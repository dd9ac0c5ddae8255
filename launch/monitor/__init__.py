"""What is watched: data, training, requests, as metrics for Prometheus."""
