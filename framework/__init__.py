"""The accelerator side, and what every stage shares: config, artefacts, schema. No TensorFlow, no Beam."""
