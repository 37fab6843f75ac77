"""The rules that the protos carry, checked: one list of violations for servers, task files and callers."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from google.protobuf.message import Message

from boarfish.errors import FieldViolation, InvalidArgument


@lru_cache(maxsize=1)
def _validator() -> Any:
    import protovalidate

    return protovalidate.Validator()


_SECONDS = {
    # 0001-01-01 to 9999-12-31, and about 10,000 years either way: what the well-known types allow.
    "google.protobuf.Timestamp": (-62_135_596_800, 253_402_300_799, 0),
    "google.protobuf.Duration": (-315_576_000_000, 315_576_000_000, -999_999_999),
}
_TimePlan = tuple[tuple[str, bool, "tuple[int, int, int] | _TimePlan"], ...]


def violations(message: Message) -> list[FieldViolation]:
    """What is wrong with `message` by its protovalidate rules, by field path (`features[2].name`).

    Timestamps and durations out of their types' range are violations too: most code that reads one raises.
    """
    found = [
        FieldViolation(_path(violation.proto.field), violation.proto.message)
        for violation in _validator().collect_violations(message)
    ]
    if plan := _time_plan(message.DESCRIPTOR):
        found.extend(_bad_times(message, plan, ""))
    return found


def validate(message: Message) -> None:
    """Raises `InvalidArgument` with every field violation of `message`."""
    if found := violations(message):
        raise InvalidArgument.of(*found)


def _bad_times(message: Any, plan: _TimePlan, path: str) -> Iterator[FieldViolation]:
    for name, repeated, inner in plan:
        at = f"{path}{name}"
        if repeated:
            parts = [(value, f"{at}[{index}]") for index, value in enumerate(getattr(message, name))]
        elif message.HasField(name):
            parts = [(getattr(message, name), at)]
        else:
            continue
        for value, place in parts:
            if isinstance(inner[0], int):
                low, high, least_nanos = inner
                if not (low <= value.seconds <= high and least_nanos <= value.nanos <= 999_999_999):
                    yield FieldViolation(place, "is out of range for a time; give seconds and nanos that are")
            else:
                yield from _bad_times(value, inner, f"{place}.")


_PLANS: dict[str, _TimePlan] = {}


def _time_plan(descriptor: Any, above: tuple[str, ...] = ()) -> _TimePlan:
    """Fields of a message that are times, or hold some; types that hold themselves are not followed."""
    known = _PLANS.get(descriptor.full_name)
    if known is not None:
        return known
    plan: list[Any] = []
    for field in descriptor.fields:
        kind = field.message_type
        if kind is None or kind.GetOptions().map_entry or kind.full_name in above:
            continue
        inner = _SECONDS.get(kind.full_name) or _time_plan(kind, (*above, descriptor.full_name))
        if inner:
            plan.append((field.name, field.is_repeated, inner))
    made = tuple(plan)
    if not above:
        _PLANS[descriptor.full_name] = made
    return made


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
