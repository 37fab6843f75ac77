"""Callbacks of the learner: small classes with an order, each for one idea."""
