"""Digits by hand: the nearest mean picture first, then a net."""
