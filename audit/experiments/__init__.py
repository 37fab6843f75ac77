"""Comparing versions in use: differences that may be looked at any time, fair splits, other policies."""
