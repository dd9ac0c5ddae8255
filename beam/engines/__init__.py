"""What runs the pipeline: here, Flink, Dataflow, any portable runner."""
