"""Which language a recorded prompt is in: sound as pictures."""
