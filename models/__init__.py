"""Architectures, the training engine and the export of models. Knows nothing of services."""
