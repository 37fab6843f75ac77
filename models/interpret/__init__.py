"""Looking inside: pure functions that turn predictions, and the net that made them, into `models.figures`."""
