"""Published models: what their manifests and histories say, and MLflow's registry made of it."""
