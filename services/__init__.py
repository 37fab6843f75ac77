"""The four services, each a thin gRPC face over the libraries, and what they share."""
