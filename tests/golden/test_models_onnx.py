"""Exported graphs against PyTorch and scikit-learn on 10,000 real people."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from models.metrics import auc
from tests.golden.people_of_2015 import fitted, people

ROWS, TOLERANCE = 10_000, 1e-5


@pytest.mark.parametrize("which", ["net", "trees"])
def test_onnx_runtime_agrees_and_no_decision_flips(which: str, tmp_path: Path) -> None:
    model, rows = fitted(which), people()[1].take(np.arange(ROWS))
    model.export_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (score,) = session.run(["probability"], {"numeric": rows.numeric, "code": rows.code})
    expected = model.predict(rows)
    assert np.abs(score - expected).max() < TOLERANCE
    assert np.array_equal(score >= 0.5, expected >= 0.5)
    one_by_one = [
        session.run(None, {"numeric": rows.numeric[i : i + 1], "code": rows.code[i : i + 1]})[0][0]
        for i in range(500)
    ]
    assert np.abs(np.array(one_by_one) - score[:500]).max() < 1e-6


@pytest.mark.parametrize(("which", "at_least"), [("net", 0.88), ("trees", 0.89)])
def test_real_rows_are_learnt(which: str, at_least: float) -> None:
    valid = people()[1]
    assert auc(valid.label, fitted(which).predict(valid)).value > at_least
