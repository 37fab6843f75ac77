"""Flights from New York in 2013: time in the air, learnt as a logarithm, in the order of time."""
