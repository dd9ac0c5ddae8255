"""Any Kubernetes cluster with JobSet: GKE's TPU and GPU pools, and others by their own labels."""
