"""The RUN artefact: checkpoints, telemetry, report."""
