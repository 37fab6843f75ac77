"""Feedback loops: a model whose decisions make its own data. Detectors, corrections, and simulators."""
