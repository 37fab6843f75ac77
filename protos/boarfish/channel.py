"""Channels whose calls raise `boarfish.errors`, carry a request id and a deadline, and are tried again where
that is safe.

Retries are gRPC's own (service config): calls that the server recognises when they come twice are sent again
when nothing answers. `Predict` is not: a person predicted twice would have two prediction ids.
"""

import asyncio
import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc

from boarfish.errors import BoarfishError, Internal, Unavailable, from_rpc_error

REQUEST_ID = "x-request-id"
STATUS_DETAILS = "grpc-status-details-bin"
DEFAULT_DEADLINE_S = 60.0
MAX_MESSAGE_BYTES = 65 * 1024 * 1024

_IDEMPOTENT = {
    "IngestionService": (
        *("LogLabels", "CreateDataset", "GetDataset", "ListDatasets", "ListDatasetVersions", "UploadProfile"),
        "AmendRecords",
    ),
    "TrainingService": (
        *("CreateTrainingJob", "GetTrainingJob", "ListTrainingJobs", "CancelTrainingJob"),
        *("ListModelVersions", "GetModelVersion", "GetModelVersionFigures", "GetTrainingCurve"),
    ),
    "InferenceService": ("CreateDeployment", "GetDeployment", "ListDeployments"),
    "MonitoringService": (
        *(
            "GetHealth",
            "QueryProfiles",
            "ListAlerts",
            "AcknowledgeAlert",
            "RunAudit",
            "GetAudit",
            "ListAudits",
        ),
        *("AppendLedgerEntry", "ListLedgerEntries", "VerifyLedger"),
        *("GetLedgerCheckpoint", "ProveLedgerEntry", "WriteDocument"),
        *("EvaluateGate", "FileAppeal", "GetAppeal", "ListAppeals", "TakeAppeal", "ResolveAppeal"),
        "GetAppealStatistics",
    ),
}
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [
                {"service": f"boarfish.v1.{service}", "method": method}
                for service, methods in _IDEMPOTENT.items()
                for method in methods
            ],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
OPTIONS = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class _MappingChannel(ABC):
    """What a generated stub needs of a channel; each call goes through `_once` or `_many`."""

    def __init__(self, channel: Any, address: str, deadline_s: float) -> None:
        self._channel = channel
        self._address = address
        self._deadline_s = deadline_s

    def unary_unary(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """A call of one message that is answered by one."""
        return self._once(self._channel.unary_unary(*arguments, **options), self._deadline_s)

    def stream_unary(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """A call of many messages that is answered by one."""
        return self._once(self._channel.stream_unary(*arguments, **options), None)

    def unary_stream(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """A call of one message that is answered by many."""
        return self._many(self._channel.unary_stream(*arguments, **options))

    def stream_stream(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """A call of many messages that is answered by many."""
        return self._many(self._channel.stream_stream(*arguments, **options))

    def _meaning(self, error: Any) -> BoarfishError:
        meant = from_rpc_error(error)
        no_status = not any(key == STATUS_DETAILS for key, _ in error.trailing_metadata() or ())
        if isinstance(meant, Unavailable) and no_status:
            return Unavailable(f"Nothing answers at {self._address}.", reason="NO_ANSWER")
        if isinstance(meant, Internal) and no_status and "from Core" in meant.message:
            return self._broken()
        return meant

    def _broken(self) -> Unavailable:
        """What gRPC's core calls an internal error when a server dies in the middle of a call."""
        return Unavailable(f"The connection to {self._address} broke.", reason="CONNECTION_BROKEN")

    @abstractmethod
    def _once(self, call: Callable[..., Any], deadline_s: float | None) -> Callable[..., Any]:
        """Wraps a call; see the two kinds of channel below."""

    @abstractmethod
    def _many(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps a call; see the two kinds of channel below."""


class BlockingChannel(_MappingChannel):
    """Calls that block the calling thread."""

    def _once(self, call: Callable[..., Any], deadline_s: float | None) -> Callable[..., Any]:
        def once(request: Any, timeout: float | None = None, metadata: Any = None) -> Any:
            try:
                return call(
                    request,
                    timeout=deadline_s if timeout is None else timeout,
                    metadata=with_request_id(metadata),
                )
            except grpc.RpcError as error:
                raise self._meaning(error) from error

        return once

    def _many(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def many(request: Any, timeout: float | None = None, metadata: Any = None) -> Iterator[Any]:
            answers = call(request, timeout=timeout, metadata=with_request_id(metadata))
            try:
                yield from answers
            except grpc.RpcError as error:
                raise self._meaning(error) from error
            finally:
                answers.cancel()

        return many


class AsyncChannel(_MappingChannel):
    """Calls that are awaited."""

    def _once(self, call: Callable[..., Any], deadline_s: float | None) -> Callable[..., Any]:
        async def once(request: Any, timeout: float | None = None, metadata: Any = None) -> Any:
            try:
                return await call(
                    request,
                    timeout=deadline_s if timeout is None else timeout,
                    metadata=with_request_id(metadata),
                )
            except grpc.RpcError as error:
                raise self._meaning(error) from error

        return once

    def _many(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def many(
            request: Any, timeout: float | None = None, metadata: Any = None
        ) -> AsyncIterator[Any]:
            answers = call(request, timeout=timeout, metadata=with_request_id(metadata))
            try:
                async for answer in answers:
                    yield answer
            except grpc.RpcError as error:
                raise self._meaning(error) from error
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Nobody cancelled the caller: it is how grpc.aio tells that the server died.
                raise self._broken() from error
            finally:
                answers.cancel()

        return many


def with_request_id(metadata: Any) -> tuple[tuple[str, Any], ...]:
    """`metadata` with a new request id where it has none."""
    given = tuple(metadata or ())
    return given if any(key == REQUEST_ID for key, _ in given) else (*given, (REQUEST_ID, uuid.uuid4().hex))
