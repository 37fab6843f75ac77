"""What apps install: `Client`, `AsyncClient`, `load_task`, the error tree, the generated stubs and the
`boarfish` command.

Names are loaded when they are first used, so that `import boarfish` costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boarfish import errors
    from boarfish.client import AsyncClient, Client
    from boarfish.task_file import TaskFileError, load_task, parse_task

__all__ = ["AsyncClient", "Client", "TaskFileError", "errors", "load_task", "parse_task"]

_HOMES = {
    "AsyncClient": "boarfish.client",
    "Client": "boarfish.client",
    "TaskFileError": "boarfish.task_file",
    "load_task": "boarfish.task_file",
    "parse_task": "boarfish.task_file",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "errors":
        return importlib.import_module("boarfish.errors")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'boarfish' has no attribute {name!r}")
