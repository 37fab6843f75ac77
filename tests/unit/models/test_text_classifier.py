"""The classifier of texts: it learns, goes on after a stop in either part, is measured and looked into."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.configs import FitConfig, LanguageModelConfig, TextClassifierConfig
from models.figures import Figure, Table
from models.finder import RateFound
from models.interpret.texts import contributions
from models.nets.awd_lstm import AwdLstm, AwdLstmSpec, TextNet
from models.progress import Progress, TrainingFailed, TrainingStopped
from models.recipe import FitContext
from models.text import LanguageModel, TextClassifier, gradual_unfreezing
from models.text_classifier import FittedTextClassifier
from tests.unit.models.small_texts import ENCODER, FIT, OPINION, TOPIC, WRITING, opinions

TRAIN, VALID = opinions(240), opinions(60, seed=1)
CONTEXT = FitContext(seed=1, device="cpu", threads=1)
CONFIG = TextClassifierConfig(replace(FIT, epochs=6), ENCODER, language_model_epochs=1)


@pytest.fixture(scope="module")
def fitted() -> FittedTextClassifier:
    return TextClassifier(CONFIG).fit(OPINION, TRAIN, VALID, CONTEXT)


@pytest.fixture(scope="module")
def of_topics() -> FittedTextClassifier:
    return TextClassifier(CONFIG).fit(TOPIC, TRAIN, VALID, CONTEXT)


def test_it_beats_the_majority(fitted: FittedTextClassifier) -> None:
    found = fitted.assess(TRAIN, VALID)
    assert found.comparison.better
    assert found.metrics["accuracy"].value > 0.9
    assert found.score is not None
    assert found.score.shape == (60,)


def test_it_tells_several_classes_apart(of_topics: FittedTextClassifier) -> None:
    found = of_topics.assess(TRAIN, VALID)
    assert found.metrics["accuracy"].value > 0.9
    assert found.score is None
    np.testing.assert_allclose(of_topics.predict(VALID).sum(1), 1, rtol=1e-5)


def test_answers_do_not_depend_on_the_texts_beside(fitted: FittedTextClassifier) -> None:
    alone = np.concatenate([fitted.predict(VALID.slice(row, 1)) for row in range(10)])
    np.testing.assert_allclose(fitted.predict(VALID)[:10], alone, atol=1e-6)


@pytest.mark.parametrize("stop_at", [5, 30, 90])
def test_it_goes_on_from_a_stop_in_either_part(
    fitted: FittedTextClassifier, tmp_path: Path, stop_at: int
) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == stop_at

    context = replace(CONTEXT, checkpoint_folder=tmp_path, should_stop=stop)
    with pytest.raises(TrainingStopped):
        TextClassifier(CONFIG).fit(OPINION, TRAIN, VALID, context)
    again = TextClassifier(CONFIG).fit(OPINION, TRAIN, VALID, replace(CONTEXT, checkpoint_folder=tmp_path))
    for name, weight in fitted.net.state_dict().items():
        assert torch.equal(weight, again.net.state_dict()[name]), name


def test_progress_is_of_both_parts_together() -> None:
    told: list[Progress] = []
    TextClassifier(CONFIG).fit(OPINION, TRAIN, VALID, replace(CONTEXT, on_progress=told.append))
    shares = [one.fraction_done for one in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert next(one.epoch for one in told if one.metrics) == 1
    assert {one.epoch_count for one in told} == {7}
    assert told[-1].epoch == 7
    assert set(told[-1].metrics) == {"auc", "accuracy"}


def test_rates_are_found_for_both_parts_and_drawn_apart() -> None:
    drawn: list[Figure] = []
    config = replace(CONFIG, fit=replace(FIT, epochs=1, learning_rate=0.0))
    TextClassifier(config).fit(OPINION, TRAIN, VALID, replace(CONTEXT, on_figure=drawn.append))
    names = [figure.name for figure in drawn]
    assert {"language_model_learning_rate", "text_classifier_learning_rate"} <= set(names)
    assert len(set(names)) == len(names)


def test_the_rate_that_is_asked_for_is_the_classifiers() -> None:
    config = replace(CONFIG, fit=replace(FIT, learning_rate=0.0))
    drawn: list[Figure] = []
    with pytest.raises(RateFound):
        TextClassifier(config).fit(
            OPINION, TRAIN, VALID, replace(CONTEXT, find_only=True, on_figure=drawn.append)
        )
    assert drawn == []


@pytest.mark.parametrize(
    ("epochs", "frozen", "learning"),
    [
        (4, 0, [2, 4, 4, 4]),
        (10, 0, [1, 2, 3, 4, 4, 4, 4, 4, 4, 4]),
        (2, 2, [1, 1, 4, 4]),
        (1, 0, [4]),
    ],
)
def test_groups_are_unfrozen_from_the_head(epochs: int, frozen: int, learning: list[int]) -> None:
    net = TextNet(AwdLstm(AwdLstmSpec(9, 2, 3, 2, 0.0)), 2, piece=4)
    callback = gradual_unfreezing(net.groups(), FitConfig(epochs=epochs, frozen_epochs=frozen))
    for epoch, count in enumerate(learning):
        callback.before_epoch(SimpleNamespace(model=net, epoch=epoch))
        groups = [any(one.requires_grad for one in group[:1]) for group in net.groups()[:-1]]
        assert [*groups, True] == [False] * (4 - count) + [True] * count


def test_an_earlier_language_model_is_taken_over(tmp_path: Path) -> None:
    language = LanguageModel(LanguageModelConfig(FIT, ENCODER)).fit(WRITING, TRAIN, VALID, CONTEXT)
    language.save(tmp_path)
    config = replace(CONFIG, language_model_epochs=0)
    model = TextClassifier(config).fit(OPINION, TRAIN, VALID, replace(CONTEXT, weights=tmp_path))
    assert model.assess(TRAIN, VALID).metrics["accuracy"].value > 0.9
    assert model.net.encoder.spec.hidden_size == ENCODER.hidden_size


def test_long_texts_are_read_up_to_the_longest(fitted: FittedTextClassifier) -> None:
    short = FittedTextClassifier(fitted.net, fitted.tokens, OPINION, longest=4)
    texts = pa.table({"text": ["The film was good.", "The film was awful."]})
    # Four tokens: begin, case, "the", "film".
    first, second = short.predict(texts)
    assert first == pytest.approx(second)


def test_rows_without_a_text_have_no_score(fitted: FittedTextClassifier) -> None:
    some = VALID.set_column(1, "text", pa.array([None, *VALID.column("text").to_pylist()[1:]]))
    found = fitted.assess(TRAIN, some)
    assert found.score is not None
    assert np.flatnonzero(np.isnan(found.score)).tolist() == [0]
    assert "t0" in found.warnings[0]
    assert np.isfinite(fitted.predict(some)).all()


def test_one_class_alone_is_refused() -> None:
    one = TRAIN.set_column(2, "opinion", pa.array(["yes"] * 240))
    with pytest.raises(TrainingFailed, match="same label"):
        TextClassifier(CONFIG).fit(OPINION, one, VALID, CONTEXT)


def test_subwords_are_tokens_too(tmp_path: Path) -> None:
    encoder = replace(ENCODER, tokens="subword", vocabulary_size=300)
    config = replace(CONFIG, encoder=encoder, fit=replace(FIT, epochs=2), language_model_epochs=0)
    model = TextClassifier(config).fit(OPINION, TRAIN, VALID, CONTEXT)
    model.save(tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()
    model.export_onnx(tmp_path / "model.onnx")
    assert model.check_onnx(tmp_path / "model.onnx", VALID, threads=1).equal


def test_figures_show_errors_and_words(of_topics: FittedTextClassifier) -> None:
    found = {figure.name: figure for figure in of_topics.figures(TRAIN, VALID)}
    assert list(found) == [
        "confusion", "most_confused", "recall", "precision", "top_losses", "deciding_words", "words_plane",
    ]  # fmt: skip
    table = found["top_losses"].body
    assert isinstance(table, Table)
    assert table.columns[0] == "row"
    assert str(table.rows[0][0]).startswith("t")


def test_the_word_that_decides_speaks_for_its_class(fitted: FittedTextClassifier) -> None:
    table = pa.table({"text": ["The film was good.", "The film was awful."]})
    texts = fitted.encode(table)
    for text, (part, word) in enumerate(
        zip(contributions(fitted, texts, [1, 0]), ("good", "awful"), strict=True)
    ):
        assert len(part) == texts.lengths[text]
        words = [fitted.tokens.vocabulary[one] for one in texts[text]]
        assert words[int(part.argmax())] == word
