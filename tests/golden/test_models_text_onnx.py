"""PyTorch and ONNX Runtime agree on models of texts, and on the rules of tokens."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from models.configs import FitConfig, TextClassifierConfig
from models.data.tokens import WordTokens
from models.export.nodes import Nodes
from models.export.onnx_tokens import TOKENIZER_DOMAIN, token_nodes
from models.language_model import FittedLanguageModel
from models.nets.awd_lstm import AwdLstmSpec, LanguageNet
from models.recipe import FitContext, Problem
from models.text import TextClassifier
from models.text_classifier import FittedTextClassifier
from tests.unit.models.small_texts import ENCODER, OPINION, THINGS, TOPIC, WRITING, opinions

STRANGE = [
    None,
    "",
    "   ",
    "\n\n\n\n",
    "!!!! ??? \n\n\n\n The the the the The",
    "don't 'that 'tis it's DON'T ’s",
    "zzzz zzzz zzzz qqq",
    "Ünïcode ŻÓŁĆ 中文 🙂🙂🙂 \u200d a\u00a0b\x00c xxmaj xxpad xxunk",
    "3 3 3 3 3 3 3 3 3 3 3 3 3",
    "film " * 500,
    "STRASSE Straße ẞ ǅ İ",
    "e\u0301 a\u0301\u0301",
    "i.e. http://a.b/c?d=e_f 3.14 -7",
    "\u2028\u2029\ufeff\ue000",
]
LONGEST = 50
WORDS = WordTokens.learn(
    pa.array([*STRANGE, *opinions(50).column("text").to_pylist()]), size=200, minimum_count=1
)


@pytest.fixture(scope="module")
def tokens_alone() -> onnxruntime.InferenceSession:
    graph = Nodes()
    ids, lengths = token_nodes(graph, "text", WORDS, longest=LONGEST)
    graph.node("Identity", ids, output="ids")
    graph.node("Identity", lengths, output="lengths")
    info = helper.make_tensor_value_info
    model = graph.finish(
        [info("text", TensorProto.STRING, ["N"])],
        [info("ids", TensorProto.INT64, ["N", "L"]), info("lengths", TensorProto.INT64, ["N"])],
        description="",
        properties={},
        opsets={TOKENIZER_DOMAIN: 1},
    )
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def assert_same_tokens(session: onnxruntime.InferenceSession, texts: list[str | None]) -> None:
    own = WORDS.encode(pa.array(texts, pa.utf8())).cut(LONGEST)
    ids, lengths = session.run(None, {"text": np.array([text or "" for text in texts], np.object_)})
    assert ids.tolist() == own.padded().tolist()
    assert lengths.tolist() == own.lengths.tolist()


def test_strange_texts_have_the_same_tokens(tokens_alone: onnxruntime.InferenceSession) -> None:
    assert_same_tokens(tokens_alone, STRANGE)
    for text in STRANGE:
        assert_same_tokens(tokens_alone, [text])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=40),
            st.lists(st.sampled_from(["The", "film", "FILM", "!", "!!!!", "'s", "\n", "very", "zz"])).map(
                " ".join
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_texts_have_the_same_tokens(tokens_alone: onnxruntime.InferenceSession, texts: list[str]) -> None:
    assert_same_tokens(tokens_alone, texts)


@cache
def classifier(problem: Problem) -> FittedTextClassifier:
    config = TextClassifierConfig(
        FitConfig(epochs=6, batch_size=16, learning_rate=0.03),
        replace(ENCODER, layer_count=3),
        language_model_epochs=0,
        longest=LONGEST,
    )
    return TextClassifier(config).fit(problem, opinions(240), opinions(60, seed=1), FitContext(device="cpu"))


@pytest.mark.parametrize("problem", [OPINION, TOPIC], ids=["binary", "multiclass"])
def test_the_classifier_answers_the_same(tmp_path: Path, problem: Problem) -> None:
    model, path = classifier(problem), tmp_path / "model.onnx"
    model.export_onnx(path)
    texts = pa.table({"text": [*STRANGE, *opinions(100, seed=3).column("text").to_pylist()]})
    probability = model.predict(texts)
    assert np.ptp(probability) > 0.5
    parity = model.check_onnx(path, texts, threads=1)
    assert parity.equal
    assert parity.largest_difference < 1e-5
    assert parity.count == texts.num_rows


def test_the_classifiers_graph_names_the_class(tmp_path: Path) -> None:
    model, path = classifier(TOPIC), tmp_path / "model.onnx"
    model.export_onnx(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given_texts = np.array(["The film was good", "A song!"], np.object_)
    probability, label = session.run(["probability", "label"], {"text": given_texts})
    assert label.tolist() == [THINGS[place] for place in probability.argmax(1)]
    properties = session.get_modelmeta().custom_metadata_map
    assert json.loads(properties["classes"]) == list(THINGS)
    assert properties["tokens"] == "word"


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    model = classifier(TOPIC)
    for name in ("one", "other"):
        model.export_onnx(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_the_language_model_says_the_same_with_its_state_carried(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = LanguageNet(AwdLstmSpec(len(WORDS.vocabulary), 20, 30, 3, 0.5)).eval()
    with torch.no_grad():
        net.encoder.embedding.mul_(10)
    model, path = FittedLanguageModel(net, WORDS, WRITING), tmp_path / "model.onnx"
    model.export_onnx(path)
    parity = model.check_onnx(path, opinions(100), threads=1)
    assert parity.equal
    assert parity.largest_difference < 1e-5
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    ids = WORDS.encode(pa.array(["The film was"])).padded()
    state = np.zeros((1, session.get_inputs()[1].shape[1]), np.float32)
    probability, token, _ = session.run(None, {"ids": ids, "state": state})
    assert token.tolist() == [WORDS.vocabulary[int(probability[0].argmax())]]


def test_parity_tells_another_models_graph(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    classifier(OPINION).export_onnx(path)
    changed = onnx.load(path)
    for constant in changed.graph.initializer:
        if constant.data_type == TensorProto.FLOAT and len(constant.dims) == 2:
            array = onnx.numpy_helper.to_array(constant) * 1.5
            constant.CopyFrom(onnx.numpy_helper.from_array(array, constant.name))
    onnx.save(changed, path)
    parity = classifier(OPINION).check_onnx(path, opinions(50), threads=1)
    assert not parity.equal
    assert "row" in parity.where
