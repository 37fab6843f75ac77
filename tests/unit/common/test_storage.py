"""What a full or shut disk says, in each of the ways in which it says it."""

import errno
import sqlite3

import pytest
from boarfish.errors import FailedPrecondition, ResourceExhausted
from sqlalchemy.exc import OperationalError

from services.common.storage import DISK_FULL, FOLDER_NOT_WRITABLE, storage_error, writing_to

FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError("Generic LocalFileSystem error: No space left on device (os error 28)"),
    sqlite3.OperationalError("database or disk is full"),
    OperationalError("INSERT ...", {}, sqlite3.OperationalError("database or disk is full")),
]
SHUT = [
    OSError(errno.EROFS, "Read-only file system"),
    PermissionError(errno.EACCES, "Permission denied"),
    sqlite3.OperationalError("attempt to write a readonly database"),
    sqlite3.OperationalError("unable to open database file"),
]


@pytest.mark.parametrize("error", FULL)
def test_full(error: Exception) -> None:
    meant = storage_error(error, "/data/lake")
    assert isinstance(meant, ResourceExhausted)
    assert meant.reason == DISK_FULL
    assert "/data/lake" in meant.message
    assert meant.retry_after_s


@pytest.mark.parametrize("error", SHUT)
def test_shut(error: Exception) -> None:
    meant = storage_error(error, "/data/lake")
    assert isinstance(meant, FailedPrecondition)
    assert meant.reason == FOLDER_NOT_WRITABLE
    assert meant.metadata == {"folder": "/data/lake"}


def test_other_errors_are_not_the_disk() -> None:
    statement = "INSERT INTO notes VALUES ('permission denied')"
    assert storage_error(ValueError("disk"), "/data") is None
    assert storage_error(OSError(errno.ECONNRESET, "Connection reset by peer"), "/data") is None
    locked = OperationalError(statement, {}, sqlite3.OperationalError("database is locked"))
    assert storage_error(locked, "/data") is None
    with pytest.raises(OperationalError), writing_to("/data"):
        raise locked
    with pytest.raises(ResourceExhausted), writing_to("/data"):
        raise FULL[0]
