"""The embedded server: SavedModels behind TensorFlow Serving's gRPC and REST API.

TensorFlow's C++ runtime runs the models; asyncio stands in front. The flags, the config file and
the formats are those of `tensorflow_model_server`, so that a client and a deployment can move
between the two. Knows TensorFlow and no JAX.
"""
