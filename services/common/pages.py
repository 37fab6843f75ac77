"""Page tokens: an opaque text that says where the next page starts and of which question (AIP-158)."""

import base64
import binascii
import hashlib

from boarfish.errors import FieldViolation, InvalidArgument
from google.protobuf.message import Message

DEFAULT_SIZE = 50


def page_size(requested: int) -> int:
    """Entries of a page: `requested` (the protos allow at most 1,000), or 50 when it is 0."""
    return requested or DEFAULT_SIZE


def next_token(request: Message, position: int | None) -> str:
    """The token of the page of the same question that starts at `position`; empty when there is none."""
    if position is None:
        return ""
    return base64.urlsafe_b64encode(f"{position}.{_fingerprint(request)}".encode()).decode().rstrip("=")


def position_of(request: Message, token: str) -> int | None:
    """Where the page of `token` starts; `None` for an empty token.

    Raises:
        InvalidArgument: nobody gave the token out, or it belongs to a request with other fields.
    """
    if not token:
        return None
    try:
        position, fingerprint = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().split(".")
        number = int(position)
    except (ValueError, binascii.Error):
        raise _refusal("is not a token that this service gave out") from None
    if fingerprint != _fingerprint(request) or not 0 <= number < 2**63:
        raise _refusal("was given out for a request with other fields")
    return number


def _fingerprint(request: Message) -> str:
    question = type(request)()
    question.CopyFrom(request)
    for field in ("page_token", "page_size"):
        question.ClearField(field)
    return hashlib.sha256(question.SerializeToString(deterministic=True)).hexdigest()[:16]


def _refusal(why: str) -> InvalidArgument:
    text = f"{why}: leave it empty for the first page"
    return InvalidArgument(f"page_token {text}", [FieldViolation("page_token", text)])
