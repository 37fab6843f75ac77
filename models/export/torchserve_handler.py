"""Runs inside TorchServe: rows in as an Arrow IPC stream, predictions out as raw little-endian float32.

Self-contained, as it travels inside the archive. With `model.safetensors` beside it a binary net runs in
PyTorch, else `model.onnx` in ONNX Runtime.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

MISSING_CODE = -(2**63)


class BoarfishHandler:
    """TorchServe makes one for each worker, calls `initialize` once and `handle` for each message."""

    def __init__(self) -> None:
        self._columns: dict[str, list[str]] = {}
        self._score: Any = None

    def initialize(self, context: Any) -> None:
        """Loads the model from the folder that the archive was unpacked to."""
        folder = Path(context.system_properties["model_dir"])
        (described,) = folder.glob("*.json")
        about = json.loads(described.read_text())
        with_weights = (folder / "model.safetensors").is_file()
        self._score = _net(folder, about["spec"]) if with_weights else _graph(folder)
        self._columns = about["columns"]

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """One answer a message."""
        return [self._answer(bytes(message.get("body") or message.get("data") or b"")) for message in data]

    def _answer(self, body: bytes) -> bytes:
        table = pa.ipc.open_stream(body).read_all()
        count = table.num_rows
        numeric = [table.column(name).to_numpy() for name in self._columns["numeric"]]
        code = [table.column(name).fill_null(MISSING_CODE).to_numpy() for name in self._columns["code"]]
        category = [table.column(name).fill_null("").to_pylist() for name in self._columns["category"]]
        time = [_microseconds(table.column(name)) for name in self._columns.get("time", [])]
        return self._score(  # type: ignore[no-any-return]
            np.stack(numeric, 1).astype(np.float32) if numeric else np.empty((count, 0), np.float32),
            np.stack(code, 1).astype(np.int64) if code else np.empty((count, 0), np.int64),
            category,
            np.stack(time, 1) if time else np.empty((count, 0), np.int64),
        )


def _microseconds(column: pa.ChunkedArray) -> Any:
    return column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).fill_null(MISSING_CODE).to_numpy()


def _net(folder: Path, spec_json: dict[str, Any]) -> Any:
    import torch
    from boarfish_tabular_net import TabularNet, TabularNetSpec, rows_of  # type: ignore[import-not-found]
    from safetensors.torch import load_file

    torch.set_num_threads(1)
    spec = TabularNetSpec.from_json(spec_json)
    net = TabularNet(spec)
    net.load_state_dict(load_file(folder / "model.safetensors"))
    net.eval()

    def score(numeric: Any, code: Any, category: Any, time: Any) -> bytes:
        with torch.inference_mode():
            index = rows_of(torch.from_numpy(code), category, spec)
            logits = net(torch.from_numpy(numeric), index)
            return torch.sigmoid(logits).numpy().astype("<f4").tobytes()

    return score


def _graph(folder: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    wanted = [one.name for one in session.get_inputs()]

    def score(numeric: Any, code: Any, category: Any, time: Any) -> bytes:
        texts = np.array(category, object).T.reshape(len(numeric), -1)
        given = {"numeric": numeric, "code": code, "category": texts, "time": time}
        answer: bytes = session.run(None, {name: given[name] for name in wanted})[0].astype("<f4").tobytes()
        return answer

    return score
