"""How one service calls another: a channel that is back soon after its neighbour is."""

from typing import Any

import grpc

from services.common.settings import Settings

# gRPC waits up to two minutes between attempts to connect: too long when a neighbour restarts in seconds.
_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


def channel_options(settings: Settings) -> list[tuple[str, Any]]:
    """Options of a channel between services: it reconnects quickly and notices a dead peer within 40 s."""
    return [
        *_OPTIONS,
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
    ]


def open_channel(address: str, settings: Settings) -> grpc.aio.Channel:
    """A channel to `host:port`. It connects on the first call; close it when the service stops."""
    return grpc.aio.insecure_channel(address, options=channel_options(settings))
