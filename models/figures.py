"""What a look inside a model gives: figures as data, which a page draws and a file keeps.

A figure has a title, one sentence that says in plain words what is seen, and one body. Bodies are few and
general, so that a page that can draw them can draw whatever a model's kind has to show.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows under named columns; a cell is a text or a number."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]


@dataclass(frozen=True)
class Bars:
    """One bar a name, in order; `lower` and `upper` are its interval, or empty."""

    names: tuple[str, ...]
    values: tuple[float, ...]
    axis: str
    lower: tuple[float, ...] = ()
    upper: tuple[float, ...] = ()


@dataclass(frozen=True)
class Lines:
    """Lines over one axis. `x` increases; each of `lines` is a name and one value a place of `x`, NaN for
    none.
    """

    x: tuple[float, ...]
    lines: tuple[tuple[str, tuple[float, ...]], ...]
    x_axis: str
    y_axis: str
    logarithmic_x: bool = False


@dataclass(frozen=True)
class Matrix:
    """A value for each row and column, row by row: a confusion matrix, a histogram over time."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    row_axis: str
    column_axis: str


@dataclass(frozen=True)
class Points:
    """Named points of a plane, each of a group (empty: all alike)."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    x_axis: str
    y_axis: str


@dataclass(frozen=True)
class Picture:
    """A PNG with what is to be read beneath it. `row_id` names the dataset's row, where it is one."""

    png: bytes
    caption: str
    row_id: str = ""


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side."""

    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Dendrogram:
    """A tree that joins names: each merge is the two clusters joined (names first, then merges, by place) and
    the height at which they are, as `scipy.cluster.hierarchy.linkage` gives it.
    """

    names: tuple[str, ...]
    merges: tuple[tuple[int, int, float], ...]
    axis: str


Body = Table | Bars | Lines | Matrix | Points | Pictures | Dendrogram


@dataclass(frozen=True)
class Figure:
    """`name` is lower case, unique in a report ("confusion", "top_losses"); `sentence` says what is seen."""

    name: str
    title: str
    sentence: str
    body: Body
