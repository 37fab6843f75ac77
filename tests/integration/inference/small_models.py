"""Small model versions by the contract of exported models, for the tests and the benchmark of serving.

`model.onnx` is a fixed network on the task's features; `model.mar` runs the same file by a handler of its
own.
"""

import io
import itertools
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
from boarfish.task_file import load_task
from boarfish.v1 import profile_pb2, task_pb2, training_pb2
from google.protobuf import json_format
from onnx import TensorProto, helper, numpy_helper

from services.common.model_store import ModelStore, StoredModel

EMPLOYMENT = Path(__file__).resolve().parents[3] / "examples" / "employment" / "task.yaml"
HANDLER = """
import io
import numpy as np
import onnxruntime as ort
import pyarrow as pa


class Handler:
    def initialize(self, context):
        folder = context.system_properties["model_dir"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self.session = ort.InferenceSession(f"{folder}/model.onnx", options, providers=providers)
        self.manifest = context.manifest

    def handle(self, data, context):
        body = data[0].get("body") or data[0].get("data")
        table = pa.ipc.open_stream(bytes(body)).read_all()
        if "SLEEP" in table.schema.names:
            import time
            time.sleep(60)
        kinds = {"numeric": pa.float32(), "code": pa.int64(), "category": pa.utf8()}
        feed = {}
        for one in self.session.get_inputs():
            columns = [table.column(f.name).to_numpy() for f in table.schema if f.type == kinds[one.name]]
            feed[one.name] = np.stack(columns, axis=1)
            if one.name == "category":
                feed[one.name] = feed[one.name].astype(object)
        return [self.session.run(["probability"], feed)[0].astype("<f4").tobytes()]
"""


def employment() -> task_pb2.Task:
    """The demo's task: one number, thirteen codes, two sensitive attributes."""
    return load_task(EMPLOYMENT)


def onnx_bytes(task: task_pb2.Task, seed: int, *, nan: bool = False) -> bytes:
    """A 200-100-1 network with random weights over all features; a text counts by whether it is there.
    `nan`: answers NaN.
    """
    rng = np.random.default_rng(seed)
    widths = {kind: sum(f.type == kind for f in task.features) for kind in (1, 2, 3)}
    inputs, nodes, parts = [], [], []
    initial = [
        numpy_helper.from_array(np.float32(0), "zero"),
        numpy_helper.from_array(np.array([-1]), "flat"),
    ]
    if widths[1]:
        inputs.append(helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["N", widths[1]]))
        initial.append(numpy_helper.from_array(np.float32(0.02), "small"))
        nodes += [
            helper.make_node("IsNaN", ["numeric"], ["absent"]),
            helper.make_node("Where", ["absent", "zero", "numeric"], ["filled"]),
            helper.make_node("Mul", ["filled", "small"], ["number"]),
        ]
        parts.append("number")
    if widths[2]:
        inputs.append(helper.make_tensor_value_info("code", TensorProto.INT64, ["N", widths[2]]))
        nodes += [
            helper.make_node("Cast", ["code"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Max", ["wide", "zero"], ["known"]),
        ]
        parts.append("known")
    if widths[3]:
        inputs.append(helper.make_tensor_value_info("category", TensorProto.STRING, ["N", widths[3]]))
        nodes.append(
            helper.make_node(
                "LabelEncoder",
                ["category"],
                ["texted"],
                domain="ai.onnx.ml",
                keys_strings=["", "a"],
                values_floats=[0.0, 2.0],
                default_float=1.0,
            )
        )
        parts.append("texted")
    sizes = (sum(widths.values()), 200, 100, 1)
    nodes.append(helper.make_node("Concat", parts, ["layer0"], axis=1))
    for index, (before, after) in enumerate(itertools.pairwise(sizes)):
        weight = (rng.normal(size=(before, after)) / np.sqrt(before)).astype(np.float32)
        initial.append(numpy_helper.from_array(weight, f"weight{index}"))
        nodes.append(helper.make_node("Gemm", [f"layer{index}", f"weight{index}"], [f"sum{index}"]))
        nodes.append(
            helper.make_node("Relu" if after > 1 else "Sigmoid", [f"sum{index}"], [f"layer{index + 1}"])
        )
    last = "layer3"
    if nan:
        initial.append(numpy_helper.from_array(np.float32(np.nan), "nan"))
        nodes.append(helper.make_node("Mul", [last, "nan"], ["spoilt"]))
        last = "spoilt"
    nodes.append(helper.make_node("Reshape", [last, "flat"], ["probability"]))
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"])
    graph = helper.make_graph(nodes, "small", inputs, [output], initial)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=10,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def archive_bytes(model: bytes) -> bytes:
    """A TorchServe archive around an ONNX model."""
    sink = io.BytesIO()
    manifest = {
        "createdOn": "24/11/2026 00:00:00",
        "runtime": "python",
        "model": {"modelName": "small", "handler": "handler.py", "modelVersion": "1.0"},
        "archiverVersion": "0.12.0",
    }
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr("handler.py", HANDLER)
        archive.writestr("model.onnx", model)
    return sink.getvalue()


def add_model(root: Path, task: task_pb2.Task, seed: int = 0, *, nan: bool = False) -> StoredModel:
    """Adds a small version for `task` to the model store under `root`."""
    folder = root.parent / f"making-{task.name}-{seed}-{nan}"
    folder.mkdir(parents=True)
    model = onnx_bytes(task, seed, nan=nan)
    files = {
        "model.onnx": model,
        "model.mar": archive_bytes(model),
        "task.json": json_format.MessageToJson(task).encode(),
        "reference_profile.binpb": profile_pb2.Profile().SerializeToString(),
        "model_card.md": b"# Small\n",
        "evaluation.json": b"{}",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    manifest = training_pb2.ModelVersion(
        task_name=task.name, model="tabular_net", training_job_id=f"seed-{seed}"
    )
    return ModelStore(root).add(folder, manifest)
