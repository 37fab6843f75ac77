"""The error tree: what goes over the wire comes back as the same class with the same words."""

from typing import Any

import grpc
import pytest
from boarfish import errors
from boarfish.errors import FieldViolation, InvalidArgument, ResourceExhausted, from_rpc_error, to_status
from google.rpc import error_details_pb2


class Refused(grpc.RpcError):
    """What gRPC raises at a caller."""

    def __init__(self, error: errors.BoarfishError, details: bytes | None = None) -> None:
        status = to_status(error)
        self._status = status
        self._packed = status.SerializeToString() if details is None else details

    def code(self) -> grpc.StatusCode:
        return next(code for code in grpc.StatusCode if code.value[0] == self._status.code)

    def details(self) -> str:
        return str(self._status.message)

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return (("grpc-status-details-bin", self._packed),)


def details_of(error: errors.BoarfishError, kind: Any) -> list[Any]:
    found = []
    for packed in to_status(error).details:
        if packed.Is(kind.DESCRIPTOR):
            message = kind()
            packed.Unpack(message)
            found.append(message)
    return found


CLASSES = [
    errors.InvalidArgument, errors.NotFound, errors.AlreadyExists, errors.FailedPrecondition,
    errors.ResourceExhausted, errors.Unavailable, errors.DeadlineExceeded, errors.Cancelled,
    errors.Unimplemented, errors.PermissionDenied, errors.Unauthenticated, errors.Internal,
]  # fmt: skip


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_comes_back_as_itself(kind: type[errors.BoarfishError]) -> None:
    sent = kind("what happened", reason="THE_REASON", metadata={"folder": "/data"})
    back = from_rpc_error(Refused(sent))
    assert type(back) is kind
    assert (back.message, back.reason, back.metadata) == (sent.message, sent.reason, sent.metadata)
    assert len(details_of(sent, error_details_pb2.ErrorInfo)) == 1


def test_violations_come_back_in_order() -> None:
    sent = InvalidArgument.of(FieldViolation("name", "is empty"), FieldViolation("rows[3].AGEP", "is 200"))
    back = from_rpc_error(Refused(sent))
    assert isinstance(back, InvalidArgument)
    assert back.violations == sent.violations
    assert back.message == "name: is empty; rows[3].AGEP: is 200"


def test_retry_info_comes_back() -> None:
    back = from_rpc_error(Refused(ResourceExhausted("full", retry_after_s=1.25)))
    assert isinstance(back, ResourceExhausted)
    assert back.retry_after_s == 1.25
    assert details_of(ResourceExhausted("full"), error_details_pb2.RetryInfo) == []


@pytest.mark.parametrize("word", ["AGEP", "Größe", "\U0001f41f", "\ud800"])
def test_what_is_sent_stays_below_the_limit_of_metadata(word: str) -> None:
    violations = [FieldViolation(f"rows[{i}].{word}", f"{word} " * 50) for i in range(10_000)]
    status = to_status(
        InvalidArgument.of(*violations) if word else InvalidArgument("", violations)
    ).SerializeToString()
    assert len(status) * 4 / 3 + 3 * errors.MESSAGE_BYTES < 8000
    listed = details_of(InvalidArgument("many", violations), error_details_pb2.BadRequest)[0].field_violations
    assert listed[-1].description == f"and {10_000 - len(listed) + 1} more"


def test_another_servers_error_without_details_is_still_one_of_the_tree() -> None:
    back = from_rpc_error(Refused(errors.Unavailable("gone"), details=b"\xff\xff"))
    assert isinstance(back, errors.Unavailable)
    assert from_rpc_error(grpc.RpcError()).code is grpc.StatusCode.INTERNAL
