"""Praise and blame in sentences of film reviews, told apart by ULMFiT."""
