"""Google Cloud Run: a published model as a service, and a stage as a job."""
