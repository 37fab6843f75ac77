"""Turns what a disk says when it is full or shut into errors that name the folder and say what to do."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from boarfish.errors import BoarfishError, FailedPrecondition, ResourceExhausted
from sqlalchemy.exc import DBAPIError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SHUT = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
_FULL_WORDS = (
    "no space left",
    "disk is full",
    "disk full",
    "file too large",
    "os error 28",
    "os error 27",
    "quota exceeded",
)
_SHUT_WORDS = (
    "read-only",
    "readonly",
    "permission denied",
    "os error 13",
    "os error 30",
    "unable to open database",
)
RETRY_AFTER_S = 5.0
DISK_FULL, FOLDER_NOT_WRITABLE, ROWS_MISSING = "DISK_FULL", "FOLDER_NOT_WRITABLE", "ROWS_MISSING"
STORAGE_REASONS = (DISK_FULL, FOLDER_NOT_WRITABLE, ROWS_MISSING)
"""`ErrorInfo` reasons that pass when someone sees to the disk. `storage_error` gives the first two;
`ROWS_MISSING` is a table whose folder lacks what was acknowledged, such as a volume that is not mounted.
"""


def storage_error(error: BaseException, folder: Path | str) -> BoarfishError | None:
    """What a failed write means for the caller; `None` when it was not the disk."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    code = error.errno if isinstance(error, OSError) else None
    text = str(error).lower()
    if code in _FULL or any(words in text for words in _FULL_WORDS):
        return ResourceExhausted(
            f"The disk under {folder} is full. Free some space; the service goes on by itself.",
            retry_after_s=RETRY_AFTER_S,
            reason=DISK_FULL,
            metadata={"folder": str(folder)},
        )
    if code in _SHUT or any(words in text for words in _SHUT_WORDS):
        return FailedPrecondition(
            f"{folder} cannot be written. Let the service's user write there; the service goes on by itself.",
            reason=FOLDER_NOT_WRITABLE,
            metadata={"folder": str(folder)},
        )
    return None


@contextmanager
def writing_to(folder: Path | str) -> Iterator[None]:
    """Raises the error that names `folder` when a write inside fails for want of space or permission."""
    try:
        yield
    except (OSError, sqlite3.Error, DBAPIError) as error:
        meant = storage_error(error, folder)
        if meant is None:
            raise
        raise meant from error
