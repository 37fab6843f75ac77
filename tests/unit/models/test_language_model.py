"""The language model: it learns, goes on after a stop, is kept, measured, and writes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.configs import LanguageModelConfig
from models.data.tokens import BEGIN, TokenIds
from models.language_model import (
    COUNT,
    FittedLanguageModel,
    frequency_sums,
    perplexity_of,
    share_right,
    with_vocabulary,
)
from models.metrics import perplexity
from models.progress import Progress, TrainingFailed, TrainingStopped
from models.recipe import FitContext
from models.text import LanguageModel
from tests.unit.models.small_texts import ENCODER, FIT, WRITING, opinions

TRAIN, VALID = opinions(240), opinions(60, seed=1)
CONTEXT = FitContext(seed=1, device="cpu", threads=1)
CONFIG = LanguageModelConfig(FIT, ENCODER)


@pytest.fixture(scope="module")
def fitted() -> FittedLanguageModel:
    return LanguageModel(CONFIG).fit(WRITING, TRAIN, VALID, CONTEXT)


def test_it_beats_the_frequencies_of_tokens(fitted: FittedLanguageModel) -> None:
    found = fitted.assess(TRAIN, VALID)
    assert found.comparison.better
    assert found.comparison.metric == "perplexity"
    assert found.metrics["perplexity"].value < found.comparison.baseline.value / 2
    assert found.metrics["accuracy"].value > 0.5
    assert found.row_quality is not None
    assert found.row_quality.shape == (60,)
    assert found.warnings == ()


def test_it_can_be_ranked_by_accuracy(fitted: FittedLanguageModel) -> None:
    by_accuracy = FittedLanguageModel(fitted.net, fitted.tokens, replace(WRITING, metric="accuracy"))
    comparison = by_accuracy.assess(TRAIN, VALID).comparison
    assert (comparison.metric, comparison.better) == ("accuracy", True)


def test_rows_without_a_text_are_not_measured(fitted: FittedLanguageModel) -> None:
    texts = VALID.column("text").to_pylist()
    some = VALID.set_column(1, "text", pa.array(["", *texts[1:]]))
    found = fitted.assess(TRAIN, some)
    assert found.warnings == ("1 validation rows have an empty text (t0); they are left out",)
    assert found.row_quality is not None
    assert np.flatnonzero(np.isnan(found.row_quality)).tolist() == [0]


def test_many_unknown_words_are_told(fitted: FittedLanguageModel) -> None:
    strange = VALID.set_column(1, "text", pa.array(["quite another language"] * 60))
    assert any("unknown words" in one for one in fitted.assess(TRAIN, strange).warnings)


def test_it_goes_on_from_a_stop_amid_a_stream(fitted: FittedLanguageModel, tmp_path: Path) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == 20

    context = replace(CONTEXT, checkpoint_folder=tmp_path, should_stop=stop)
    with pytest.raises(TrainingStopped):
        LanguageModel(CONFIG).fit(WRITING, TRAIN, VALID, context)
    again = LanguageModel(CONFIG).fit(WRITING, TRAIN, VALID, replace(CONTEXT, checkpoint_folder=tmp_path))
    for name, weight in fitted.net.state_dict().items():
        assert torch.equal(weight, again.net.state_dict()[name]), name


def test_progress_tells_the_perplexity(tmp_path: Path) -> None:
    told: list[Progress] = []
    config = replace(CONFIG, fit=replace(FIT, epochs=1))
    LanguageModel(config).fit(WRITING, TRAIN, VALID, replace(CONTEXT, on_progress=told.append))
    assert told[-1].metrics["perplexity"] == pytest.approx(np.exp(told[-1].validation_loss), rel=0.05)


def test_it_is_loaded_as_saved(fitted: FittedLanguageModel, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    again = FittedLanguageModel.load(tmp_path, WRITING)
    ids = fitted.tokens.encode(pa.array(["The film was"])).padded()
    assert np.array_equal(again.next_probabilities(ids), fitted.next_probabilities(ids))


def test_a_folder_without_a_language_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="not a language model's"):
        LanguageModel(CONFIG).fit(WRITING, TRAIN, VALID, replace(CONTEXT, weights=tmp_path))


def test_it_writes_what_it_learnt(fitted: FittedLanguageModel) -> None:
    def written(temperature: float, seed: int) -> str:
        generator = torch.Generator().manual_seed(seed)
        return fitted.generate("The film", 6, temperature=temperature, generator=generator)

    assert written(1e-6, 0) == written(1e-6, 1)
    assert written(1e-6, 0).startswith("The film was")
    assert len({written(2.0, seed) for seed in range(8)}) > 4


def test_an_earlier_model_is_a_start_for_other_texts(fitted: FittedLanguageModel, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    texts = pa.table({"text": ["The film was quite new and very very very new."] * 60})
    config = replace(CONFIG, fit=replace(FIT, epochs=1, learning_rate=1e-9))
    other = LanguageModel(config).fit(WRITING, texts, texts, replace(CONTEXT, weights=tmp_path))
    old, new = fitted.tokens.vocabulary, other.tokens.vocabulary
    assert "quite" in new and "quite" not in old  # noqa: PT018
    embeddings = [model.net.encoder.embedding.detach().numpy() for model in (fitted, other)]
    np.testing.assert_allclose(embeddings[1][new.index("film")], embeddings[0][old.index("film")], atol=1e-5)
    np.testing.assert_allclose(embeddings[1][new.index("quite")], embeddings[0].mean(0), atol=1e-5)


def test_the_same_vocabulary_keeps_every_weight(fitted: FittedLanguageModel) -> None:
    again = with_vocabulary(fitted.net, fitted.tokens, fitted.tokens)
    for name, weight in fitted.net.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])


def test_texts_without_known_words_are_refused() -> None:
    config = replace(CONFIG, encoder=replace(ENCODER, minimum_count=1000))
    with pytest.raises(TrainingFailed, match="seen 1000 times"):
        LanguageModel(config).fit(WRITING, TRAIN, VALID, CONTEXT)


def test_subwords_are_tokens_too() -> None:
    config = LanguageModelConfig(
        replace(FIT, epochs=1), replace(ENCODER, tokens="subword", vocabulary_size=290)
    )
    model = LanguageModel(config).fit(WRITING, TRAIN, VALID, CONTEXT)
    assert model.assess(TRAIN, VALID).metrics["perplexity"].value < 290
    assert isinstance(model.generate("The film", 5, temperature=1.0, generator=torch.Generator()), str)


def test_figures_are_drawn_of_what_it_says(fitted: FittedLanguageModel) -> None:
    found = {figure.name: figure for figure in fitted.figures(TRAIN, VALID)}
    assert list(found) == ["samples", "hard_tokens", "words_plane"]
    assert len(found["samples"].body.rows) == 12
    assert "film" in found["words_plane"].body.names


def test_frequencies_are_a_rule_with_known_perplexity() -> None:
    ids = np.array([BEGIN, 10, 11, BEGIN, 10, 10], np.int32)
    texts = TokenIds(ids, np.array([0, 3, 6]))
    sums = frequency_sums(texts, texts, vocabulary_size=12)
    assert sums[:, COUNT].tolist() == [2, 2]
    losses = -np.log(np.array([4, 2, 4, 4]) / 16)
    assert perplexity_of(sums) == pytest.approx(perplexity(losses).value)
    assert share_right(sums) == 0.75
