"""Architectures. Each module is self-contained: it goes into a TorchServe archive as it is."""
