"""What a page for people consists of: sections of texts, lists, tables and questions, without any markup.

Reports and documents say what they hold in these few shapes; `page` draws them as HTML, and `as_json` gives
them to machines. All are immutable and hold plain values.
"""

from dataclasses import dataclass, fields, is_dataclass
from typing import Any


@dataclass(frozen=True)
class Text:
    """A paragraph; `warning` sets it apart."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Items:
    """A list, numbered where its order matters."""

    items: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True)
class Mark:
    """A cell that the eye should find."""

    text: str


@dataclass(frozen=True)
class Interval:
    """A share with its interval and a share to compare with, drawn from 0 to 1; `None`: not known."""

    value: float | None
    lower: float | None = None
    upper: float | None = None
    beside: float | None = None


@dataclass(frozen=True)
class Bars:
    """Two shares, now above before, drawn from 0 to 1."""

    now: float
    before: float


Cell = str | Mark | Interval | Bars


@dataclass(frozen=True)
class Table:
    """Rows of cells under `columns`; a row's first cell names it. `numbers`: columns that are set right."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Answer:
    """A question that a person answers, with what the suite knows of it; open while there is no answer."""

    question: str
    answer: str = ""
    answered_by: str = ""
    evidence: str = ""

    @property
    def open(self) -> bool:
        """Whether nobody has answered."""
        return not self.answer.strip()


@dataclass(frozen=True)
class Questions:
    """Questions and their answers, in order."""

    answers: tuple[Answer, ...]


Block = Text | Items | Table | Questions


@dataclass(frozen=True)
class Section:
    """A title and what stands under it; `parts` are sections one level down."""

    title: str
    blocks: tuple[Block, ...] = ()
    parts: tuple["Section", ...] = ()


@dataclass(frozen=True)
class Page:
    """A page that stands on its own."""

    title: str
    introduction: tuple[Block, ...]
    sections: tuple[Section, ...]
    footer: str = ""

    @property
    def open_questions(self) -> tuple[str, ...]:
        """Questions that nobody has answered, in the order of the page."""
        blocks = [*self.introduction, *(block for section in self.sections for block in _blocks(section))]
        answers = (answer for block in blocks if isinstance(block, Questions) for answer in block.answers)
        return tuple(answer.question for answer in answers if answer.open)


def as_json(shape: Any) -> Any:
    """A shape as JSON values: an object by field, with `kind` where several shapes may stand."""
    if is_dataclass(shape) and not isinstance(shape, type):
        found = {one.name: as_json(getattr(shape, one.name)) for one in fields(shape)}
        kind = {} if isinstance(shape, Page | Section | Answer) else {"kind": type(shape).__name__.lower()}
        return {**kind, **found, **({"open": shape.open} if isinstance(shape, Answer) else {})}
    if isinstance(shape, tuple):
        return [as_json(item) for item in shape]
    return sorted(shape) if isinstance(shape, frozenset) else shape


def _blocks(section: Section) -> list[Block]:
    return [*section.blocks, *(block for part in section.parts for block in _blocks(part))]
