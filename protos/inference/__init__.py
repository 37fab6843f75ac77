"""The Open Inference Protocol, version 2, as its specification gives it."""
