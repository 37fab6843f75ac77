"""Clothes in grey: an XResNet from scratch."""
