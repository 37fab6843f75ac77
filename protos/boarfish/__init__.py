"""What apps install: generated stubs, `Client`, and the `boarfish` command."""
