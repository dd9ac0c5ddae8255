"""The online services on a Kubernetes cluster: gateway, nearline, lander, each scaled alone."""
