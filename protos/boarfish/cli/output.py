"""How answers and errors are printed: JSON for programs, tables and sentences for people."""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from boarfish import errors
from boarfish.v1 import common_pb2

console = Console(highlight=False)
complaints = Console(stderr=True, highlight=False, soft_wrap=True)

BAD_ANSWER, BAD_INPUT, NO_ANSWER = 1, 2, 3


def print_json(answer: Message | dict[str, Any] | list[Any]) -> None:
    """Prints an answer as JSON with the protos' field names."""
    made = plain(answer) if isinstance(answer, Message) else answer
    print(json.dumps(made, indent=2, ensure_ascii=False))


def plain(message: Message) -> dict[str, Any]:
    """A message as JSON values with the protos' field names."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
    """Prints rows of texts, or `empty` when there is none."""
    table = Table(header_style="bold")
    for position, column in enumerate(columns):
        # What a person copies stands first, and whole.
        table.add_column(column, no_wrap=position == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table if table.row_count else empty)


def number(estimate: common_pb2.Estimate, scale: float = 1.0, unit: str = "") -> str:
    """An estimate with its interval, or why there is none."""
    if math.isnan(estimate.value):
        return estimate.warnings[0] if estimate.warnings else "not known yet"
    text = f"{scale * estimate.value:.3g}{unit}"
    if not math.isnan(estimate.lower):
        text += f" ({scale * estimate.lower:.3g} to {scale * estimate.upper:.3g})"
    return text


def day(moment: Timestamp) -> str:
    """A moment's date, empty when there is none."""
    return f"{moment.ToDatetime():%Y-%m-%d}" if moment.seconds else ""


def minute(moment: Timestamp) -> str:
    """A moment to the minute, UTC."""
    return f"{moment.ToDatetime():%Y-%m-%d %H:%M}" if moment.seconds else ""


def explain(error: errors.BoarfishError) -> int:
    """Prints what went wrong and what to do next; the exit status."""
    complaints.print(f"[red]Error:[/] {escape(error.message)}")
    if isinstance(error, errors.InvalidArgument):
        for field, text in error.violations:
            if field and f"{field}: " not in error.message:
                complaints.print(f"  {escape(field)}: {escape(text)}")
    if isinstance(error, errors.ResourceExhausted | errors.Unavailable | errors.DeadlineExceeded):
        if error.reason in ("NO_ANSWER", "CONNECTION_BROKEN"):
            complaints.print("Start the services with `make run`, or name where they are by")
            complaints.print("BOARFISH_INGESTION_ADDRESS, _TRAINING_, _INFERENCE_ and _MONITORING_ADDRESS.")
        elif retry_after_s := getattr(error, "retry_after_s", None):
            complaints.print(f"Try again in {retry_after_s:g} s.")
        return NO_ANSWER
    return BAD_ANSWER if isinstance(error, errors.Internal) else BAD_INPUT


def fail(message: str, status: int = BAD_INPUT) -> NoReturn:
    """Prints why a command cannot go on and exits."""
    complaints.print(f"[red]Error:[/] {escape(message)}")
    sys.exit(status)
