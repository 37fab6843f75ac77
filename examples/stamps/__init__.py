"""Whether two pictures show the same stamp: pairs of pictures."""
