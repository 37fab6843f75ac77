"""Kinds of emoji, by transfer from a pretrained body; errors by skin tone."""
