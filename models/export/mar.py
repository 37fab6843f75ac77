"""TorchServe archives, byte for byte the same for the same model: a handler that Boarfish wrote, data files,
no pickle.

Format: a zip with `MAR-INF/MANIFEST.json`, as torch-model-archiver 0.12 writes it. That tool stamps the time
of day into the archive, so the zip is written here, with fixed times.
"""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

HANDLER = Path(__file__).parent / "torchserve_handler.py"
NET_CODE = Path(__file__).parent.parent / "nets" / "tabular.py"
NET_CODE_NAME = "boarfish_tabular_net.py"
_EPOCH = (2020, 1, 1, 0, 0, 0)


def write_archive(path: Path, files: Sequence[Path], *, name: str, version: str) -> None:
    """Writes `path` with the handler and `files`, stored under their own names (the net's code under
    `NET_CODE_NAME`).
    """
    manifest = {
        "createdOn": "01/01/2020 00:00:00",
        "runtime": "python",
        "model": {"modelName": name, "handler": HANDLER.name, "modelVersion": version},
        "archiverVersion": "0.12.0",
    }
    entries = {
        "MAR-INF/MANIFEST.json": json.dumps(manifest, indent=2).encode(),
        HANDLER.name: HANDLER.read_bytes(),
    }
    for file in files:
        entries[NET_CODE_NAME if file == NET_CODE else file.name] = file.read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in sorted(entries.items()):
            info = zipfile.ZipInfo(entry, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
