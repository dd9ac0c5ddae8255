"""The data stage on Google Cloud Dataflow."""
