"""Where requests come in: REST and gRPC, who may ask, and what is written down of it."""
