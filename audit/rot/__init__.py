"""Is the model still right: realised quality from labels, estimated quality without them."""
