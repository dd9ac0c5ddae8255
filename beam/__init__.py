"""The data stage: raw events to a dataset, by Beam."""
