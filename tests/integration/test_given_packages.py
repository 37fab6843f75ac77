"""The packages that are given work together in one process, each put to a small use."""

import subprocess
import sys

USE = """
import grpc, google.protobuf, onnxruntime, streamlit, torch, ts
import numpy as np, pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
from fairlearn.metrics import MetricFrame, selection_rate
from onnx import helper

assert float(torch.ones(2).sum()) == 2.0
frame = pd.DataFrame({"x": np.arange(50.0)})
report = Report([DataDriftPreset()]).run(frame, frame)
assert report.dict()["metrics"]
rates = MetricFrame(metrics=selection_rate, y_true=[0, 1], y_pred=[0, 1], sensitive_features=["a", "b"])
assert rates.by_group["b"] == 1.0
value = helper.make_tensor_value_info
node = helper.make_node("Relu", ["x"], ["y"])
graph = helper.make_graph([node], "g", [value("x", 1, [1])], [value("y", 1, [1])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
model.ir_version = 10
session = onnxruntime.InferenceSession(model.SerializeToString())
assert session.run(None, {"x": np.array([-1.0], np.float32)})[0][0] == 0.0
print("together")
"""


def test_given_packages_are_used_in_one_process():
    done = subprocess.run(
        [sys.executable, "-c", USE], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("together\n")
