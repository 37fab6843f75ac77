"""Each speed and memory claim of the README as one command that prints it beside its peer."""
