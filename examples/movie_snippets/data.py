"""10,605 sentences of film reviews, each rated by twenty people, by way of the package vaderSentiment."""

import io
import tarfile

import numpy as np
import pyarrow as pa

from examples.sources import Package, package_file

PACKAGE = Package(
    "pypi-source", "vaderSentiment==3.3.2", "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
)
ARCHIVE = "*/additional_resources/hutto_ICWSM_2014.tar.gz"
MEMBER = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"


def table(share: float = 1.0) -> pa.Table:
    """One sentence a row, in the file's order; of a smaller `share`, every so many. `opinion` is "positive"
    where the mean rating, from -4 to 4, is above 0.
    """
    with tarfile.open(fileobj=io.BytesIO(package_file(PACKAGE, ARCHIVE))) as archive:
        file = archive.extractfile(MEMBER)
        assert file is not None, "the member is a file"
        lines = file.read().decode("utf-8").splitlines()
    kept = np.linspace(0, len(lines) - 1, max(round(len(lines) * share), 2)).round().astype(int)
    rows = [lines[place].split("\t", 2) for place in kept]
    return pa.table(
        {
            "id": pa.array([int(identity) for identity, _, _ in rows], pa.int64()),
            "text": [text for _, _, text in rows],
            "opinion": ["positive" if float(rating) > 0 else "negative" for _, rating, _ in rows],
        }
    )
