"""The verbs that say what came from what: track, registry, lineage, reproduce."""
