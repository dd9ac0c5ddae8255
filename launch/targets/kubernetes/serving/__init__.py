"""A published model on a Kubernetes cluster: servers, traffic, what watches them."""
