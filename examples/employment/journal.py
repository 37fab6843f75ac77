"""How far the story has been played, so that a second `make run` goes on where the first one stopped.

A small SQLite file under the state folder: finished steps with their results, and for each replayed day the
prediction ids that were answered, which its labels need two months later.
"""

import datetime as dt
import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

_TABLES = """
CREATE TABLE IF NOT EXISTS steps (name TEXT PRIMARY KEY, result TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS days (
    date TEXT PRIMARY KEY,
    prediction_ids TEXT NOT NULL,
    labels BLOB NOT NULL,
    labelled INTEGER NOT NULL DEFAULT 0
);
"""


class Journal:
    """The story's memory. Each write is on disk when the call returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path)
        self._connection.executescript(_TABLES)

    def result(self, step: str) -> Any:
        """What `step` left behind, or `None` when it has not been finished."""
        row = self._connection.execute("SELECT result FROM steps WHERE name = ?", (step,)).fetchone()
        return json.loads(row[0]) if row else None

    def finish(self, step: str, result: Any) -> None:
        """Notes that `step` is done with a JSON-serialisable `result`."""
        with self._connection:
            self._connection.execute("INSERT OR REPLACE INTO steps VALUES (?, ?)", (step, json.dumps(result)))

    def add_day(self, date: dt.date, prediction_ids: list[str], labels: np.ndarray) -> None:
        """Notes that everyone of `date` was answered; `labels` int64 `(N,)` in the order of the ids."""
        row = (date.isoformat(), json.dumps(prediction_ids), labels.astype("<i8").tobytes())
        with self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO days (date, prediction_ids, labels) VALUES (?, ?, ?)", row
            )

    def last_day(self) -> dt.date | None:
        """The newest day that was answered."""
        text = self._connection.execute("SELECT max(date) FROM days").fetchone()[0]
        return dt.date.fromisoformat(text) if text else None

    def unlabelled_until(self, date: dt.date) -> list[tuple[dt.date, list[str], np.ndarray]]:
        """Answered days up to `date` whose labels have not been sent, oldest first.

        Date, prediction ids, labels.
        """
        query = "SELECT date, prediction_ids, labels FROM days WHERE labelled = 0 AND date <= ? ORDER BY date"
        return [
            (dt.date.fromisoformat(day), json.loads(ids), np.frombuffer(labels, "<i8"))
            for day, ids, labels in self._connection.execute(query, (date.isoformat(),))
        ]

    def mark_labelled(self, date: dt.date) -> None:
        """Notes that the labels of `date` were acknowledged."""
        with self._connection:
            self._connection.execute("UPDATE days SET labelled = 1 WHERE date = ?", (date.isoformat(),))

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()
