"""Boarfish at work on real data; one folder a task."""
