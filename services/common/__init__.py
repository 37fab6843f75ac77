"""What the services share: harness, settings, lake, database, outbox, telemetry."""
