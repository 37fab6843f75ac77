"""A model version on TorchServe, over REST: rows go as an Arrow IPC stream, probabilities come as float32."""

import numpy as np
import pyarrow as pa
from boarfish.errors import Unavailable

from services.inference.inputs import InputLayout, ModelInputs
from services.inference.runtimes.torchserve_process import TorchServeProcess


class TorchServeRuntime:
    """The model that `process` serves under `name`."""

    in_process = False

    def __init__(self, process: TorchServeProcess, name: str, layout: InputLayout) -> None:
        self._process = process
        self._name = name
        self._layout = layout
        self._schema = pa.schema(
            [
                *((column, pa.float32()) for column in layout.numeric),
                *((column, pa.int64()) for column in layout.code),
                *((column, pa.utf8()) for column in layout.category),
            ]
        )

    @property
    def ready(self) -> bool:
        """Whether it can answer now."""
        return self._process.is_ready(self._name)

    @property
    def status(self) -> str:
        """Why it cannot, or "ready"."""
        return self._process.status_of(self._name)

    def score(self, inputs: ModelInputs) -> np.ndarray:
        """Not possible: the model runs in another process."""
        raise TypeError("TorchServe is asked by `predict`")

    async def predict(self, inputs: ModelInputs, timeout_s: float) -> np.ndarray:
        """Probabilities `(N,) float32`. Raises `Unavailable` when there is no answer within `timeout_s`."""
        body = self._body(inputs)
        scores = np.frombuffer(await self._process.predict(self._name, body, timeout_s), "<f4")
        if len(scores) != inputs.row_count:
            raise Unavailable(f"TorchServe answered {len(scores)} scores for {inputs.row_count} rows.")
        return scores

    async def close(self) -> None:
        """Nothing to do: the process is closed as a whole."""

    def _body(self, inputs: ModelInputs) -> bytes:
        arrays = [
            array[:, position]
            for array in (inputs.numeric, inputs.code, inputs.category)
            if array is not None
            for position in range(array.shape[1])
        ]
        columns = [pa.array(array, field.type) for array, field in zip(arrays, self._schema, strict=True)]
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self._schema) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        body: bytes = sink.getvalue().to_pybytes()
        return body
