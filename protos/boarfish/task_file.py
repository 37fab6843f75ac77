"""Reads a task file: YAML with the field names of `boarfish.v1.Task`, every mistake named by line and key.

Enum values are written short and in lower case (`type: code`, `method: random`). Aliases and anchors are
refused, so that a small file cannot unfold into a huge one.
"""

import difflib
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from boarfish.errors import FieldViolation, InvalidArgument
from boarfish.task_checks import check_task
from boarfish.v1 import task_pb2
from boarfish.validation import violations

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 20
MAX_MISTAKES = 100

# YAML 1.1 takes a number with an exponent for a text unless it has a point and a sign.
_EXPONENT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+")

_Type = FieldDescriptor
_WHOLE = {_Type.TYPE_INT32, _Type.TYPE_INT64, _Type.TYPE_UINT32, _Type.TYPE_UINT64}
_RANGES = {
    _Type.TYPE_INT32: (-(2**31), 2**31 - 1),
    _Type.TYPE_INT64: (-(2**63), 2**63 - 1),
    _Type.TYPE_UINT32: (0, 2**32 - 1),
    _Type.TYPE_UINT64: (0, 2**64 - 1),
}


class TaskFileError(InvalidArgument):
    """What is wrong in a task file.

    The message has a line for each mistake (`task.yaml:14: features[2].type: ...`).
    """

    def __init__(self, path: Path | str, mistakes: Iterable[tuple[int, str, str]]) -> None:
        found = sorted(mistakes)
        if len(found) > MAX_MISTAKES:
            left = len(found) - MAX_MISTAKES
            found = [*found[:MAX_MISTAKES], (found[MAX_MISTAKES][0], "", f"and {left:,} more mistakes")]
        lines = [f"{path}:{line}: {f'{key}: ' if key else ''}{text}" for line, key, text in found]
        super().__init__(
            "\n".join(lines), [FieldViolation(key, text) for _, key, text in found], reason="BAD_TASK_FILE"
        )


def load_task(path: Path | str) -> task_pb2.Task:
    """The task that a file describes.

    Raises `TaskFileError` with every mistake, and `OSError` when it cannot be read.
    """
    data = Path(path).read_bytes()
    if len(data) > MAX_BYTES:
        raise TaskFileError(
            path, [(1, "", f"has {len(data):,} bytes; a task file has at most {MAX_BYTES:,}")]
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise TaskFileError(path, [(line, "", "is not UTF-8 text")]) from error
    return parse_task(text, path)


def parse_task(text: str, path: Path | str = "task.yaml") -> task_pb2.Task:
    """The task that `text` describes; `path` is what its mistakes are reported under."""
    try:
        _refuse_aliases(text, path)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # A character that YAML has no place for comes without a mark, by its position alone.
        line = mark.line if mark else text.count("\n", 0, getattr(error, "position", 0))
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise TaskFileError(path, [(line + 1, "", f"is not YAML: {problem}")]) from error
    except RecursionError as error:
        raise TaskFileError(path, [(1, "", "is nested too deeply")]) from error
    if root is None:
        raise TaskFileError(
            path, [(1, "", "is empty; a task needs name, kind, purpose, features, target and more")]
        )
    task = task_pb2.Task()
    reader = _Reader()
    reader.message(root, task, "")
    if not reader.mistakes:
        for field, text_ in [*violations(task), *check_task(task)]:
            reader.mistakes.append((reader.line_of(field), field, text_))
    if reader.mistakes:
        raise TaskFileError(path, reader.mistakes)
    return task


def _refuse_aliases(text: str, path: Path | str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise TaskFileError(path, [(_line(event), "", "uses a YAML alias (*name); write the value out")])
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise TaskFileError(path, [(_line(event), "", "is nested too deeply")])


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1


def _value_of(node: yaml.ScalarNode) -> Any:
    """What a plain scalar means in YAML, or its text where it means nothing: a date that is none, a tag."""
    if node.tag == "tag:yaml.org,2002:str":
        return node.value
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError):
        return node.value


def _storable(text: str) -> bool:
    """Whether protobuf takes `text`: YAML can escape half a surrogate pair, which is no character."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


class _Reader:
    """Fills a message from YAML nodes and remembers the line of each key path."""

    def __init__(self) -> None:
        self.mistakes: list[tuple[int, str, str]] = []
        self._lines: dict[str, int] = {"": 1}

    def line_of(self, path: str) -> int:
        """Line of a key path, or of the nearest one above it that stands in the file."""
        while path not in self._lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self._lines[path]

    def message(self, node: yaml.Node, message: Message, path: str) -> None:
        """Fills `message` from a mapping."""
        if not isinstance(node, yaml.MappingNode):
            self._wrong(node, path, f"must be a mapping of {', '.join(_names(message))}")
            return
        for key, value, at in self._entries(node, path):
            field = message.DESCRIPTOR.fields_by_name.get(key)
            if field is None:
                near = difflib.get_close_matches(key, _names(message), 1)
                hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(_names(message))}"
                self._wrong(value, at, f"is not a known key{hint}")
            elif field.containing_oneof and (rival := message.WhichOneof(field.containing_oneof.name)):
                self._wrong(value, at, f"cannot stand beside {rival}; keep one, or begin a new list item")
            else:
                self._field(value, message, field, at)

    def _entries(self, node: yaml.MappingNode, path: str) -> Iterator[tuple[str, yaml.Node, str]]:
        seen: set[str] = set()
        for key_node, value in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._wrong(key_node, path, "has a list or mapping as a key; keys are texts")
                continue
            key = key_node.value
            if not _storable(key):
                self._wrong(key_node, path, "has a key with half a surrogate pair, which is no character")
                continue
            at = f"{path}.{key}" if path else key
            self._lines[at] = key_node.start_mark.line + 1
            if key in seen:
                self._wrong(key_node, at, "stands twice; keep one")
                continue
            seen.add(key)
            yield key, value, at

    def _field(self, node: yaml.Node, message: Message, field: Any, path: str) -> None:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            self._map(node, getattr(message, field.name), path)
        elif field.is_repeated:
            self._list(node, message, field, path)
        elif field.message_type is not None:
            child = getattr(message, field.name)
            child.SetInParent()
            self.message(node, child, path)
        elif (value := self._scalar(node, field, path)) is not None:
            setattr(message, field.name, value)

    def _map(self, node: yaml.Node, target: Any, path: str) -> None:
        if not isinstance(node, yaml.MappingNode):
            self._wrong(node, path, 'must be a mapping of values to their meaning, such as "1": yes')
            return
        for key, value, _ in self._entries(node, path):
            at = f'{path}["{key}"]'
            self._lines[at] = value.start_mark.line + 1
            if not isinstance(value, yaml.ScalarNode) or value.tag == "tag:yaml.org,2002:null":
                self._wrong(value, at, "must be a text that says what the value means")
            elif not _storable(value.value):
                self._wrong(value, at, "has half a surrogate pair, which is no character")
            else:
                target[key] = value.value

    def _list(self, node: yaml.Node, message: Message, field: Any, path: str) -> None:
        if not isinstance(node, yaml.SequenceNode):
            self._wrong(node, path, "must be a list")
            return
        target = getattr(message, field.name)
        for position, item in enumerate(node.value):
            at = f"{path}[{position}]"
            self._lines[at] = item.start_mark.line + 1
            if field.message_type is not None:
                self.message(item, target.add(), at)
            elif (value := self._scalar(item, field, at)) is not None:
                target.append(value)

    def _scalar(self, node: yaml.Node, field: Any, path: str) -> Any:
        """The value of a node, or `None` once what is wrong with it is noted."""
        if not isinstance(node, yaml.ScalarNode):
            self._wrong(node, path, f"must be {_wanted(field)}, not a list or mapping")
            return None
        if field.enum_type is not None:
            return self._enum(node, field.enum_type, path)
        value = _value_of(node)
        found = None
        if field.type == _Type.TYPE_STRING:
            found = "" if value is None else node.value
            if not _storable(found):
                self._wrong(node, path, "has half a surrogate pair, which is no character")
                return None
        elif field.type == _Type.TYPE_BOOL and isinstance(value, bool):
            found = value
        elif field.type == _Type.TYPE_DOUBLE and type(value) in (int, float):
            found = _finite(value)
        elif field.type == _Type.TYPE_DOUBLE and _EXPONENT.fullmatch(node.value) and node.style is None:
            found = _finite(float(node.value))
        elif field.type in _WHOLE and type(value) is int:
            low, high = _RANGES[field.type]
            if not low <= value <= high:
                self._wrong(node, path, f"is {value}; must be from {low} to {high}")
                return None
            found = value
        if found is None:
            given = node.value if len(node.value) <= 40 else f"{node.value[:40]}…"
            self._wrong(node, path, f"is {given!r}; must be {_wanted(field)}")
        return found

    def _enum(self, node: yaml.ScalarNode, enum: EnumDescriptor, path: str) -> int | None:
        short = _enum_names(enum)
        if node.value in short:
            return short[node.value]
        near = difflib.get_close_matches(node.value, short, 1)
        hint = f"did you mean {near[0]}?" if near else f"use {' or '.join(short)}"
        self._wrong(node, path, f"{node.value!r} is not one of its values; {hint}")
        return None

    def _wrong(self, node: yaml.Node, path: str, text: str) -> None:
        self.mistakes.append((node.start_mark.line + 1, path, text))


def _finite(value: float) -> float | None:
    """`value` as a double; `None` where it is infinite, not a number, or too large for one."""
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _names(message: Message) -> list[str]:
    return [field.name for field in message.DESCRIPTOR.fields]


def _enum_names(enum: EnumDescriptor) -> dict[str, int]:
    """`FEATURE_TYPE_CODE` as `code`."""
    prefix = (
        "".join(f"_{letter}" if letter.isupper() else letter for letter in enum.name).lstrip("_").upper()
        + "_"
    )
    return {
        value.name.removeprefix(prefix).lower(): value.number for value in enum.values if value.number != 0
    }


def _wanted(field: Any) -> str:
    if field.enum_type is not None:
        return " or ".join(_enum_names(field.enum_type))
    if field.type in _WHOLE:
        return "a whole number"
    return {_Type.TYPE_BOOL: "true or false", _Type.TYPE_DOUBLE: "a number"}.get(field.type, "a text")
