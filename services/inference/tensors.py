"""Tensors of the Open Inference Protocol as Arrow columns and back, in both of its forms: typed contents
and raw bytes.

Source: kserve's Open Inference Protocol v2, gRPC, "Tensor Data". Raw BYTES elements have their length
before them, uint32 little-endian.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from boarfish.errors import FieldViolation, InvalidArgument
from inference import open_inference_pb2

MAX_ROWS = 1_000_000

_DTYPES = {
    "BOOL": "?", "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
_TYPED_LIMITS = {
    "INT8": (-128, 127),
    "INT16": (-(2**15), 2**15 - 1),
    "UINT8": (0, 255),
    "UINT16": (0, 2**16 - 1),
}


def to_table(request: open_inference_pb2.ModelInferRequest) -> pa.Table:
    """The inputs of `request` as columns of one table. Raises `InvalidArgument` naming the input
    (`inputs[AGEP]`).
    """
    raw = request.raw_input_contents
    if not request.inputs:
        raise InvalidArgument.of(FieldViolation("inputs", "is empty; give one input for each feature"))
    if raw and len(raw) != len(request.inputs):
        message = f"has {len(raw)} entries for {len(request.inputs)} inputs; must have one for each"
        raise InvalidArgument.of(FieldViolation("raw_input_contents", message))
    columns: dict[str, pa.Array] = {}
    row_count = None
    for position, tensor in enumerate(request.inputs):
        if tensor.name in columns:
            raise _wrong(tensor, "stands twice")
        count = _row_count(tensor)
        if row_count not in (None, count):
            raise _wrong(tensor, f"has {count} rows; the inputs before it have {row_count}")
        row_count = count
        columns[tensor.name] = (
            _from_raw(tensor, raw[position], count) if raw else _from_contents(tensor, count)
        )
    return pa.table(columns)


def add_output(
    response: open_inference_pb2.ModelInferResponse, name: str, column: pa.Array, *, raw: bool
) -> None:
    """Adds a column as output `name`: float32 as FP32, texts as BYTES."""
    count = len(column)
    if pa.types.is_string(column.type):
        texts = [text.encode() for text in column.to_pylist()]
        tensor = response.outputs.add(name=name, datatype="BYTES", shape=[count])
        if raw:
            response.raw_output_contents.append(
                b"".join(struct.pack("<I", len(text)) + text for text in texts)
            )
        else:
            tensor.contents.bytes_contents.extend(texts)
        return
    values = column.to_numpy(zero_copy_only=False).astype("<f4")
    tensor = response.outputs.add(name=name, datatype="FP32", shape=[count])
    if raw:
        response.raw_output_contents.append(values.tobytes())
    else:
        tensor.contents.fp32_contents.extend(values.tolist())


def _row_count(tensor: Any) -> int:
    shape = list(tensor.shape)
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]) or not 1 <= shape[0] <= MAX_ROWS:
        raise _wrong(tensor, f"has shape {shape}; must be [N] or [N, 1] with N from 1 to {MAX_ROWS:,}")
    return int(shape[0])


def _from_raw(tensor: Any, data: bytes, count: int) -> pa.Array:
    if tensor.HasField("contents"):
        raise _wrong(tensor, "has contents beside raw_input_contents; give one of them")
    if tensor.datatype == "BYTES":
        return _texts(tensor, _raw_texts(tensor, data, count))
    dtype = np.dtype(_numeric_type(tensor))
    if len(data) != dtype.itemsize * count:
        wanted = dtype.itemsize * count
        raise _wrong(tensor, f"has {len(data)} bytes; {count} values of {tensor.datatype} have {wanted}")
    if tensor.datatype == "BOOL":
        return pa.array(np.frombuffer(data, np.uint8) != 0)
    return pa.array(np.frombuffer(data, dtype))


def _raw_texts(tensor: Any, data: bytes, count: int) -> list[bytes]:
    texts: list[bytes] = []
    position = 0
    while position < len(data) and len(texts) < count:
        if position + 4 > len(data):
            break
        (length,) = struct.unpack_from("<I", data, position)
        texts.append(data[position + 4 : position + 4 + length])
        position += 4 + length
    if position != len(data) or len(texts) != count:
        raise _wrong(tensor, f"does not hold {count} elements, each with its length before it")
    return texts


def _from_contents(tensor: Any, count: int) -> pa.Array:
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        _numeric_type(tensor)
        raise _wrong(tensor, f"of type {tensor.datatype} can be sent in raw_input_contents alone")
    values = getattr(tensor.contents, field)
    if len(values) != count:
        raise _wrong(tensor, f"has {len(values)} values in contents.{field}; its shape says {count}")
    if tensor.datatype == "BYTES":
        return _texts(tensor, values)
    array = np.array(values)
    if tensor.datatype in _TYPED_LIMITS:
        low, high = _TYPED_LIMITS[tensor.datatype]
        if array.min() < low or array.max() > high:
            raise _wrong(tensor, f"has values that are no {tensor.datatype}")
    return pa.array(array.astype(_DTYPES[tensor.datatype]))


def _texts(tensor: Any, values: Sequence[bytes]) -> pa.Array:
    try:
        return pa.array([value.decode() for value in values], pa.utf8())
    except UnicodeDecodeError as error:
        raise _wrong(tensor, "is not UTF-8 text") from error


def _numeric_type(tensor: Any) -> str:
    dtype = _DTYPES.get(tensor.datatype)
    if dtype is None:
        known = ", ".join([*_DTYPES, "BYTES"])
        raise _wrong(tensor, f"has datatype {tensor.datatype!r}; must be one of {known}")
    return dtype


def _wrong(tensor: Any, what: str) -> InvalidArgument:
    return InvalidArgument.of(FieldViolation(f"inputs[{tensor.name}]", what))
