"""A language model of Shakespeare's works."""
