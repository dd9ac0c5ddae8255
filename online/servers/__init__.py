"""Model servers, asked by REST or gRPC, by the name of a label or a version."""
