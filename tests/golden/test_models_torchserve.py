"""The archives in a real TorchServe against ONNX Runtime, PyTorch and scikit-learn on 1,000 real people."""

from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pytest

from models.data.tabular import TabularRows
from services.inference.runtimes.torchserve_process import TorchServeProcess
from tests.golden.people_of_2015 import CODES, fitted, people

ROWS, TOLERANCE = 1_000, 1e-6


def body(rows: TabularRows) -> bytes:
    """Rows as the handler takes them: an Arrow IPC stream."""
    columns = [rows.numeric[:, 0], *rows.code.T]
    batch = pa.record_batch([pa.array(np.ascontiguousarray(column)) for column in columns], ["AGEP", *CODES])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


@pytest.mark.timeout(180)
async def test_torchserve_answers_as_the_models_do(tmp_path: Path) -> None:
    rows = people()[1].take(np.arange(ROWS))
    server = TorchServeProcess(tmp_path / "torchserve")
    try:
        for which in ("net", "trees"):
            model, archive = fitted(which), tmp_path / f"{which}.mar"
            model.export_archive(archive, name=which, version="1.0")
            model.export_onnx(tmp_path / f"{which}.onnx")
            await server.add(which, lambda archive=archive: archive)
            assert await server.wait_ready(which, 90), server.status_of(which)
            score = np.frombuffer(await server.predict(which, body(rows), 30), "<f4")
            session = onnxruntime.InferenceSession(
                tmp_path / f"{which}.onnx", providers=["CPUExecutionProvider"]
            )
            (graph,) = session.run(["probability"], {"numeric": rows.numeric, "code": rows.code})
            assert score.shape == (ROWS,)
            assert np.abs(score - graph).max() < TOLERANCE
            assert np.abs(score - model.predict(rows)).max() < TOLERANCE
    finally:
        await server.close()
