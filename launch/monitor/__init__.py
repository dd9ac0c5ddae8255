"""What is watched: metrics of data, training, serving and rollouts, and the alerts on them."""
