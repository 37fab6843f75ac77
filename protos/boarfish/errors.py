"""The one tree of errors, for both sides of the wire.

A service raises these and its harness sends them as `google.rpc.Status` with exactly one `ErrorInfo`, plus
`BadRequest` or `RetryInfo` where they say more. `Client` and `AsyncClient` turn what comes back into the same
classes.

    BoarfishError
    ├── InvalidArgument      the request is wrong; `violations` name each field
    ├── NotFound             no such dataset, deployment, version, job ...
    ├── AlreadyExists        it is there, and it is another one
    ├── FailedPrecondition   right request, wrong moment or place (a folder that cannot be written)
    ├── ResourceExhausted    a queue, a disk or a limit is full; `retry_after_s` says when to come back
    ├── Unavailable          nothing answers, or not now
    ├── DeadlineExceeded     not in the time that the caller gave
    ├── Cancelled            the caller went away
    ├── Unimplemented        a later version answers this
    ├── PermissionDenied     known, but not allowed
    ├── Unauthenticated      not known
    └── Internal             nobody expected it; the trace is in the service's log
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

DOMAIN = "boarfish"

# gRPC drops a call whose trailing metadata passes 8 KiB (`grpc.max_metadata_size`), and the caller hears
# nothing of why. The message goes there twice, once percent-encoded, and the details in base64: these bounds
# keep the sum below.
MESSAGE_BYTES, VIOLATIONS_BYTES, VALUE_BYTES = 800, 2000, 200


class FieldViolation(NamedTuple):
    """A field path (`batch.rows[3].AGEP`) and what was wrong and would be right, in words."""

    field: str
    description: str


class BoarfishError(Exception):
    """What went wrong, in words for the caller.

    `reason` is the constant by which programs tell errors of one code apart (`ErrorInfo.reason`), `metadata`
    its details.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN
    default_reason: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str, *, reason: str = "", metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})


class InvalidArgument(BoarfishError):
    """The request is wrong. Without `violations` the message alone says what is."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    default_reason = "INVALID_ARGUMENT"

    def __init__(
        self,
        message: str,
        violations: Sequence[FieldViolation] = (),
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.violations = tuple(FieldViolation(*violation) for violation in violations)

    @classmethod
    def of(cls, *violations: FieldViolation) -> "InvalidArgument":
        """An error whose message is made of its violations."""
        return cls("; ".join(f"{field}: {text}" if field else text for field, text in violations), violations)


class NotFound(BoarfishError):
    """There is no such thing."""

    code = grpc.StatusCode.NOT_FOUND
    default_reason = "NOT_FOUND"


class AlreadyExists(BoarfishError):
    """There is such a thing already, and it is another one."""

    code = grpc.StatusCode.ALREADY_EXISTS
    default_reason = "ALREADY_EXISTS"


class FailedPrecondition(BoarfishError):
    """Not in the state in which this can be done."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    default_reason = "FAILED_PRECONDITION"


class _Retryable(BoarfishError):
    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.retry_after_s = retry_after_s


class ResourceExhausted(_Retryable):
    """Full. `retry_after_s` says when to try again, in seconds; `None` when waiting alone will not help."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    default_reason = "RESOURCE_EXHAUSTED"


class Unavailable(_Retryable):
    """Nothing answers, or not now."""

    code = grpc.StatusCode.UNAVAILABLE
    default_reason = "UNAVAILABLE"


class DeadlineExceeded(BoarfishError):
    """Not answered in the time given."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    default_reason = "DEADLINE_EXCEEDED"


class Cancelled(BoarfishError):
    """The caller went away."""

    code = grpc.StatusCode.CANCELLED
    default_reason = "CANCELLED"


class Unimplemented(BoarfishError):
    """A later version answers this."""

    code = grpc.StatusCode.UNIMPLEMENTED
    default_reason = "UNIMPLEMENTED"


class PermissionDenied(BoarfishError):
    """Known, but not allowed."""

    code = grpc.StatusCode.PERMISSION_DENIED
    default_reason = "PERMISSION_DENIED"


class Unauthenticated(BoarfishError):
    """Not known."""

    code = grpc.StatusCode.UNAUTHENTICATED
    default_reason = "UNAUTHENTICATED"


class Internal(BoarfishError):
    """Nobody expected it. The caller is told nothing of the insides."""

    code = grpc.StatusCode.INTERNAL
    default_reason = "INTERNAL"


_BY_CODE: dict[grpc.StatusCode, type[BoarfishError]] = {
    kind.code: kind
    for kind in (
        InvalidArgument, NotFound, AlreadyExists, FailedPrecondition, ResourceExhausted, Unavailable,
        DeadlineExceeded, Cancelled, Unimplemented, PermissionDenied, Unauthenticated, Internal,
    )
}  # fmt: skip


def to_status(error: BoarfishError) -> status_pb2.Status:
    """`error` as it goes over the wire: one `ErrorInfo`, then `BadRequest` or `RetryInfo` where there is one
    to give.

    What would not fit in gRPC's trailing metadata is shortened; violations that are left out are counted in
    the last one.
    """
    status = status_pb2.Status(code=error.code.value[0], message=shortened(error.message, MESSAGE_BYTES))
    known = {key: shortened(value, VALUE_BYTES) for key, value in error.metadata.items()}
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=known)]
    if isinstance(error, InvalidArgument) and error.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
            for field, description in _fitting(error.violations)
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if isinstance(error, _Retryable) and error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after_s * 1e9))
        details.append(retry)
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def shortened(text: str, limit_bytes: int) -> str:
    """`text` in at most `limit_bytes` of UTF-8, with an ellipsis where something was cut."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit_bytes:
        return encoded.decode()
    return encoded[: limit_bytes - 3].decode("utf-8", "ignore") + "…"


def _fitting(violations: Sequence[FieldViolation]) -> list[FieldViolation]:
    fitting: list[FieldViolation] = []
    size = 0
    for violation in violations:
        short = FieldViolation(
            shortened(violation.field, VALUE_BYTES), shortened(violation.description, 2 * VALUE_BYTES)
        )
        size += len(short.field.encode()) + len(short.description.encode())
        if size > VIOLATIONS_BYTES:
            left = len(violations) - len(fitting)
            return [*fitting, FieldViolation("", f"and {left} more")]
        fitting.append(short)
    return fitting


def from_rpc_error(error: grpc.RpcError) -> BoarfishError:
    """The error that a service raised, from what gRPC gives the caller."""
    code: grpc.StatusCode = error.code() if hasattr(error, "code") else grpc.StatusCode.UNKNOWN
    message: str = (error.details() if hasattr(error, "details") else "") or str(code.name)
    reason, metadata, violations, retry_after_s = "", {}, [], None
    for detail in _details(error):
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            violations = [FieldViolation(one.field, one.description) for one in bad.field_violations]
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    kind = _BY_CODE.get(code, Internal)
    if issubclass(kind, InvalidArgument):
        return kind(message, violations, reason=reason, metadata=metadata)
    if issubclass(kind, _Retryable):
        return kind(message, retry_after_s=retry_after_s, reason=reason, metadata=metadata)
    return kind(message, reason=reason, metadata=metadata)


def _details(error: grpc.RpcError) -> Sequence[Any]:
    """The packed details of the status in the trailing metadata; none when another server sent none."""
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
    except (AttributeError, TypeError, ValueError, DecodeError):
        return ()
    return status.details if status is not None else ()
