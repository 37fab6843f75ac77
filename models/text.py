"""Recipes for texts: a language model, and ULMFiT's classifier on top of one.

Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", 2018: a language model, own
or handed in, is fitted to the texts of training; its encoder then classifies them. The encoder of one that
was handed in is unfrozen layer by layer.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from models.callbacks.base import Callback
from models.configs import AwdLstmConfig, FitConfig, LanguageModelConfig, TextClassifierConfig
from models.data.tokens import SubwordTokens, TokenIds, Tokens, learn_tokens
from models.language_model import FittedLanguageModel, read_language_net, with_vocabulary
from models.progress import Progress, TrainingFailed
from models.recipe import FitContext, Problem
from models.text_classifier import FittedTextClassifier

if TYPE_CHECKING:
    from torch import nn

    from models.learner import Learner
    from models.nets.awd_lstm import LanguageNet


class LanguageModel:
    """The recipe: LANGUAGE from one text."""

    name = FittedLanguageModel.kind

    def __init__(self, config: LanguageModelConfig) -> None:
        self.config = config

    def fit(
        self, problem: Problem, train: pa.Table, valid: pa.Table, context: FitContext
    ) -> FittedLanguageModel:
        """See `models.recipe.Recipe`. Rows without a text are left out, up to a tenth."""
        from models.data.text import texts_of, with_text

        train, _ = with_text(train, problem, "training")
        valid, _ = with_text(valid, problem, "validation")
        texts = texts_of(train, problem)
        net, tokens, encoded = _start(texts, self.config.encoder, context)
        held_out = tokens.encode(texts_of(valid, problem))
        _fit_language_net(
            net, (encoded, held_out), self.config.encoder, self.config.fit, context=context, name=self.name
        )
        return FittedLanguageModel(net, tokens, problem)


class TextClassifier:
    """The recipe: BINARY or MULTICLASS from one text."""

    name = FittedTextClassifier.kind

    def __init__(self, config: TextClassifierConfig) -> None:
        self.config = config

    def fit(
        self, problem: Problem, train: pa.Table, valid: pa.Table, context: FitContext
    ) -> FittedTextClassifier:
        """See `models.recipe.Recipe`. Rows without a text are left out, up to a tenth; of long texts the
        first `longest` tokens are read.
        """
        import torch

        from models.data.targets import check_target, read_target
        from models.data.text import LengthBatches, texts_of, with_text
        from models.nets.awd_lstm import TextNet
        from models.text_classifier import class_names, loss, metrics_of
        from models.training import fit_net

        config = self.config
        train, _ = with_text(train, problem, "training")
        valid, _ = with_text(valid, problem, "validation")
        label = read_target(train, problem)
        check_target(problem, label)
        held_out_label = read_target(valid, problem)
        texts = texts_of(train, problem)
        language_net, tokens, encoded = _start(texts, config.encoder, context)
        held_out = tokens.encode(texts_of(valid, problem))
        epochs = config.language_model_epochs
        # Whoever asks for a learning rate means the classifier's.
        if epochs and not context.find_only:
            _fit_language_net(
                language_net, (encoded, held_out), config.encoder,
                replace(config.fit, epochs=epochs, frozen_epochs=0, rate_division=1.0),
                context=self._part(context, LanguageModel.name, 0, epochs), name=LanguageModel.name,
            )  # fmt: skip
        torch.manual_seed(context.seed)
        net = TextNet(language_net.encoder, len(class_names(problem)), piece=config.encoder.sequence_length)
        batches = LengthBatches(
            (encoded.cut(config.longest), torch.from_numpy(label.astype(np.int64))),
            (held_out.cut(config.longest), torch.from_numpy(held_out_label.astype(np.int64))),
            config.fit.batch_size,
            seed=context.seed,
        )
        # Unfreezing guards what other, more texts have taught; these texts alone leave nothing to forget.
        pretrained = context.weights is not None
        fit_net(
            net, batches, loss, config.fit,
            self._part(context, "classifier", epochs, self._epochs - epochs),
            name=self.name, metrics=metrics_of(problem), groups=net.groups(),
            callbacks=[gradual_unfreezing(net.groups(), config.fit)] if pretrained else [],
        )  # fmt: skip
        return FittedTextClassifier(net, tokens, problem, longest=config.longest)

    @property
    def _epochs(self) -> int:
        """Of language model and classifier together."""
        fit = self.config.fit
        return self.config.language_model_epochs + fit.frozen_epochs + fit.epochs

    def _part(self, context: FitContext, part: str, before: int, epochs: int) -> FitContext:
        """The context of one of the fits that follow each other, `before` epochs behind the begin: its own
        checkpoints, and progress as a part of the whole.
        """
        first, share = before / self._epochs, epochs / self._epochs

        def tell(progress: Progress) -> None:
            done = first + share * progress.fraction_done
            left = share * (1 - progress.fraction_done)
            context.on_progress(
                replace(
                    progress,
                    model=self.name,
                    stage=f"{self.name}: {part.replace('_', ' ')}, epoch {progress.epoch} of {epochs}",
                    epoch=progress.epoch + before,
                    epoch_count=self._epochs,
                    fraction_done=done,
                    time_left_s=progress.time_left_s * (1 - done) / left if left > 0 else math.nan,
                )
            )

        folder = context.checkpoint_folder
        return replace(context, on_progress=tell, checkpoint_folder=None if folder is None else folder / part)


class _Perplexity(Callback):
    """Perplexity of an epoch's validation, summed up batch by batch: all losses need not be kept."""

    order: ClassVar[int] = 40

    def __init__(self) -> None:
        self._loss = self._count = 0.0

    def before_validate(self, learner: "Learner") -> None:
        self._loss = self._count = 0.0

    def after_batch(self, learner: "Learner") -> None:
        if not learner.training:
            self._loss += float(learner.prediction.double().sum())
            self._count += learner.prediction.numel()

    def after_validate(self, learner: "Learner") -> None:
        learner.metrics["perplexity"] = math.exp(min(self._loss / max(self._count, 1), 700.0))


def _start(
    texts: pa.ChunkedArray, config: AwdLstmConfig, context: FitContext
) -> tuple["LanguageNet", Tokens, TokenIds]:
    """A net, its tokens and the texts in them. The net is new, or an earlier language model's, whose sizes
    then count, for the words of these texts.
    """
    import torch

    from models.nets.awd_lstm import AwdLstmSpec, LanguageNet

    torch.manual_seed(context.seed)
    if context.weights is not None:
        earlier, known = read_language_net(context.weights, dropout_scale=config.dropout_scale)
        if isinstance(known, SubwordTokens):
            return earlier, known, known.encode(texts)
        tokens: Tokens = _words(texts, replace(config, tokens=known.kind))
        return with_vocabulary(earlier, known, tokens), tokens, tokens.encode(texts)
    tokens = _words(texts, config)
    spec = AwdLstmSpec(
        vocabulary_size=len(tokens.vocabulary),
        embedding_size=config.embedding_size,
        hidden_size=config.hidden_size,
        layer_count=config.layer_count,
        dropout_scale=config.dropout_scale,
    )
    net, encoded = LanguageNet(spec), tokens.encode(texts)
    net.begin_at(torch.from_numpy(np.bincount(encoded.ids, minlength=spec.vocabulary_size)).float())
    return net, tokens, encoded


def _words(texts: pa.ChunkedArray, config: AwdLstmConfig) -> Tokens:
    tokens = learn_tokens(
        config.tokens, texts, size=config.vocabulary_size, minimum_count=config.minimum_count
    )
    if tokens.always_known == len(tokens.vocabulary):
        raise TrainingFailed(
            f"No word of the training texts is seen {config.minimum_count} times. Lower minimum_count, raise "
            "vocabulary_size, or add texts."
        )
    return tokens


def _fit_language_net(
    net: "LanguageNet",
    texts: tuple[TokenIds, TokenIds],
    encoder: AwdLstmConfig,
    fit: FitConfig,
    *,
    context: FitContext,
    name: str,
) -> None:
    """Fits `net` in place on streams of the texts of training and validation; few texts make fewer streams
    than `fit.batch_size`.
    """
    from models.data.text import StreamBatches
    from models.nets.awd_lstm import StatefulLoss
    from models.training import fit_net

    train, valid = texts
    streams = min(fit.batch_size, max(1, min(len(train.ids), len(valid.ids)) // encoder.sequence_length))
    batches = StreamBatches(
        train, valid, stream_count=streams, sequence_length=encoder.sequence_length, seed=context.seed
    )
    fit_net(
        StatefulLoss(
            net,
            streams,
            activation_penalty=encoder.activation_penalty,
            change_penalty=encoder.change_penalty,
        ),
        batches,
        lambda losses, following: losses.mean(),
        fit,
        context,
        name=name,
        groups=net.groups(),
        callbacks=[_Perplexity()],
    )


def gradual_unfreezing(groups: Sequence[Iterable["nn.Parameter"]], fit: FitConfig) -> Callback:
    """The head alone in the frozen epochs; then one group more each epoch, or several, so that in the second
    half all learn.
    """
    from models.callbacks.freezing import Freezing

    parts = [list(group) for group in groups]

    def learning(epoch: int) -> int:
        thawed = epoch + 1 - fit.frozen_epochs
        return max(1, thawed, math.ceil(thawed * len(parts) / max(1, fit.epochs // 2)))

    return Freezing(parts, learning)
