"""Rows as tensors, and how they are divided into training and validation."""
