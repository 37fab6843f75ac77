"""The rules that the protos carry, checked: one list of violations for servers, task files and callers."""

from functools import lru_cache
from typing import Any

from google.protobuf.message import Message

from boarfish.errors import FieldViolation, InvalidArgument


@lru_cache(maxsize=1)
def _validator() -> Any:
    import protovalidate

    return protovalidate.Validator()


def violations(message: Message) -> list[FieldViolation]:
    """What is wrong with `message` by its protovalidate rules, by field path (`features[2].name`)."""
    return [
        FieldViolation(_path(violation.proto.field), violation.proto.message)
        for violation in _validator().collect_violations(message)
    ]


def validate(message: Message) -> None:
    """Raises `InvalidArgument` with every field violation of `message`."""
    if found := violations(message):
        raise InvalidArgument.of(*found)


def _path(field: Any) -> str:
    if not field:
        return ""
    parts: list[str] = []
    for element in field.elements:
        name = element.field_name
        if element.subscript is not None:
            value = element.subscript.value
            name += f'["{value}"]' if isinstance(value, str) else f"[{value}]"
        parts.append(name)
    return ".".join(parts)
