"""The AWD-LSTM with its five dropouts, the language model on it and the classifier on its encoder.

Sources: Merity, Keskar and Socher, "Regularizing and Optimizing LSTM Language Models", 2017 (weight dropout,
the penalties AR and TAR, tied weights); Howard and Ruder, "Universal Language Model Fine-tuning for Text
Classification", 2018 (the classifier's pooling, and the dropouts' rates, section 4.1).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

EMBEDDING_DROPOUT, INPUT_DROPOUT, WEIGHT_DROPOUT, HIDDEN_DROPOUT, OUTPUT_DROPOUT = 0.05, 0.4, 0.5, 0.3, 0.4
"""Rates at a `dropout_scale` of 1: of whole words, of what goes into the first layer, of the weights from
state to state, of what goes from layer to layer, of what comes out of the last.
"""
HEAD_SIZE = 50
HEAD_DROPOUT = 0.1

State = list[tuple[Tensor, Tensor]]
"""Of each layer, what it gave last and its cell, `(N, H)` each."""


@dataclass(frozen=True)
class AwdLstmSpec:
    """What an encoder is built from, besides its weights."""

    vocabulary_size: int
    embedding_size: int
    hidden_size: int
    layer_count: int
    dropout_scale: float

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each layer's state; the last is the embedding's, so that its weights can be tied."""
        return (*[self.hidden_size] * (self.layer_count - 1), self.embedding_size)

    def as_json(self) -> dict[str, Any]:
        """The spec as JSON can hold it."""
        return asdict(self)


class LockedDropout(nn.Module):
    """Drops the same features at all times of a sequence `(N, T, E)` (variational dropout, Gal and
    Ghahramani, 2016).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = min(rate, 0.95)

    def forward(self, features: Tensor) -> Tensor:
        """`(N, T, E)` to the same shape."""
        if not self.training or self.rate == 0:
            return features
        return features * _mask(features[:, :1], self.rate)


class WeightDroppedLstm(nn.Module):
    """One layer of the fused LSTM, whose weights from state to state are dropped anew for each sequence.

    Gates stand in torch's order: input, forget, cell, output.
    """

    def __init__(self, input_size: int, hidden_size: int, weight_dropout: float) -> None:
        super().__init__()
        bound = hidden_size**-0.5
        self.weight_dropout = min(weight_dropout, 0.95)
        self.input_weight = nn.Parameter(torch.empty(4 * hidden_size, input_size).uniform_(-bound, bound))
        self.state_weight = nn.Parameter(torch.empty(4 * hidden_size, hidden_size).uniform_(-bound, bound))
        self.input_bias = nn.Parameter(torch.empty(4 * hidden_size).uniform_(-bound, bound))
        self.state_bias = nn.Parameter(torch.empty(4 * hidden_size).uniform_(-bound, bound))

    def forward(self, features: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """`(N, T, I)` and a state of `(N, H)` each, to `(N, T, H)` and the state behind it."""
        # Dropping gives a new tensor for this call: the parameter itself is never touched.
        state_weight = functional.dropout(self.state_weight, self.weight_dropout, self.training)
        weights = [self.input_weight, state_weight, self.input_bias, self.state_bias]
        hidden, cell = (part.unsqueeze(0) for part in state)
        output, hidden, cell = torch.lstm(
            features, (hidden, cell), weights, True, 1, 0.0, self.training, False, True
        )
        return output, (hidden.squeeze(0), cell.squeeze(0))


class AwdLstm(nn.Module):
    """The encoder: tokens to features."""

    def __init__(self, spec: AwdLstmSpec) -> None:
        super().__init__()
        self.spec = spec
        scale = spec.dropout_scale
        self.embedding = nn.Parameter(torch.empty(spec.vocabulary_size, spec.embedding_size))
        # Merity and others, section 5: uniform in [-0.1, 0.1].
        nn.init.uniform_(self.embedding, -0.1, 0.1)
        self.embedding_dropout = min(EMBEDDING_DROPOUT * scale, 0.95)
        self.input_dropout = LockedDropout(INPUT_DROPOUT * scale)
        self.hidden_dropout = LockedDropout(HIDDEN_DROPOUT * scale)
        inputs = (spec.embedding_size, *spec.widths[:-1])
        self.layers = nn.ModuleList(
            WeightDroppedLstm(one, width, WEIGHT_DROPOUT * scale)
            for one, width in zip(inputs, spec.widths, strict=True)
        )

    def forward(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """int64 `(N, T)` and a state, to features `(N, T, E)` and the state behind them."""
        return self.of_embedded(self.embedded(tokens), state)

    def of_embedded(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        """As `forward`, of tokens that are embedded, `(N, T, E)`."""
        features, behind = self.input_dropout(embedded), []
        for place, layer in enumerate(self.layers):
            features, after = layer(features, state[place])
            behind.append(after)
            if place + 1 < len(self.layers):
                features = self.hidden_dropout(features)
        return features, behind

    def lstm_layers(self) -> list[WeightDroppedLstm]:
        """The layers, in order."""
        return [layer for layer in self.layers if isinstance(layer, WeightDroppedLstm)]

    def zero_state(self, count: int) -> State:
        """The state before the first token of `count` sequences."""
        zeros = [self.embedding.new_zeros(count, width) for width in self.spec.widths]
        return [(zero, zero) for zero in zeros]

    def embedded(self, tokens: Tensor) -> Tensor:
        """int64 `(N, T)` to `(N, T, E)`; in training whole words are dropped."""
        features = functional.embedding(tokens, self.embedding)
        if self.training and self.embedding_dropout > 0:
            words = _mask(self.embedding[:, :1], self.embedding_dropout)
            features = features * functional.embedding(tokens, words)
        return features


class LanguageNet(nn.Module):
    """The encoder and, with the embedding's own weights, a guess at the next token."""

    def __init__(self, spec: AwdLstmSpec) -> None:
        super().__init__()
        self.encoder = AwdLstm(spec)
        self.bias = nn.Parameter(torch.zeros(spec.vocabulary_size))

    @torch.no_grad()
    def begin_at(self, counts: Tensor) -> None:
        """Lets the first guess be each token's frequency, from `counts` `(V,)`.

        Else the features must first learn the frequencies: on 8,500 film snippets the loss after 120 batches
        was 6.05, with this 5.46.
        """
        chances = (counts + 1) / (counts + 1).sum()
        self.bias.copy_(chances.log())

    def logits(self, features: Tensor) -> Tensor:
        """Features `(..., E)` to a logit for each token that may follow, `(..., V)`."""
        return functional.linear(features, self.encoder.embedding, self.bias)

    def next_logits(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits of what follows `tokens` int64 `(N, T)`, `(N, V)`, and the state behind them."""
        features, state = self.encoder(tokens, state)
        return self.logits(features[:, -1]), state

    def groups(self) -> list[list[nn.Parameter]]:
        """Parameters from the deepest: each layer, then embedding and bias."""
        layers = [list(layer.parameters()) for layer in self.encoder.layers]
        return [*layers, [self.encoder.embedding, self.bias]]


class StatefulLoss(nn.Module):
    """A language model over streams that go on from batch to batch; gives the loss of each token.

    The state is in buffers, so that a checkpoint holds it and a fit that was killed goes on amid a stream.
    `activation_penalty` (AR) is of the squares of what the last layer gives, `change_penalty` (TAR) of the
    squares of its change over time (Merity and others, section 4.3).

    Of several processes that fit together each keeps the state of its own streams.
    """

    def __init__(
        self, net: LanguageNet, stream_count: int, *, activation_penalty: float, change_penalty: float
    ) -> None:
        super().__init__()
        self.net = net
        self.output_dropout = LockedDropout(OUTPUT_DROPOUT * net.encoder.spec.dropout_scale)
        self.activation_penalty = activation_penalty
        self.change_penalty = change_penalty
        for place, width in enumerate(net.encoder.spec.widths):
            self.register_buffer(f"hidden_{place}", torch.zeros(stream_count, width))
            self.register_buffer(f"cell_{place}", torch.zeros(stream_count, width))
        # DistributedDataParallel would give every process the first one's.
        self._ddp_params_and_buffers_to_ignore = [name for name, _ in self.named_buffers()]

    def forward(self, tokens: Tensor, following: Tensor, streams: Tensor, goes_on: Tensor) -> Tensor:
        """Loss in nats of each token of `following`, `(N, T)`; in training with the penalties.

        `tokens` and `following` are int64 `(N, T)`, `streams` int64 `(N,)` says which stream each row is of;
        `goes_on` float32 `(N, 1)` is 0 where a stream begins with this batch, else 1.
        """
        state = [
            (hidden[streams] * goes_on, cell[streams] * goes_on) for hidden, cell in self._buffers_of_layers()
        ]
        given, behind = self.net.encoder(tokens, state)
        for buffers, after in zip(self._buffers_of_layers(), behind, strict=True):
            for buffer, value in zip(buffers, after, strict=True):
                buffer.index_copy_(0, streams, value.detach().to(buffer.dtype))
        features = self.output_dropout(given)
        logits = self.net.logits(features)
        losses = functional.cross_entropy(logits.flatten(0, 1).float(), following.flatten(), reduction="none")
        losses = losses.view_as(following)
        if not self.training:
            return losses
        penalty = self.activation_penalty * features.float().square().mean()
        if given.shape[1] > 1:
            change = given[:, 1:] - given[:, :-1]
            penalty = penalty + self.change_penalty * change.float().square().mean()
        penalised: Tensor = losses + penalty
        return penalised

    def _buffers_of_layers(self) -> Iterator[tuple[Tensor, Tensor]]:
        for place in range(len(self.net.encoder.layers)):
            yield self.get_buffer(f"hidden_{place}"), self.get_buffer(f"cell_{place}")


class TextNet(nn.Module):
    """The encoder, its features pooled over the text (last, largest, mean), and two layers to the classes.

    Long texts are read in pieces of `piece` tokens: the state goes on, gradients end at a piece's begin.
    """

    def __init__(self, encoder: AwdLstm, class_count: int, *, piece: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.piece = piece
        width, scale = encoder.spec.embedding_size, encoder.spec.dropout_scale
        self.output_dropout = LockedDropout(OUTPUT_DROPOUT * scale)
        self.head = nn.Sequential(
            nn.BatchNorm1d(3 * width),
            nn.Dropout(min(OUTPUT_DROPOUT * scale, 0.95)),
            nn.Linear(3 * width, HEAD_SIZE),
            nn.ReLU(),
            nn.BatchNorm1d(HEAD_SIZE),
            nn.Dropout(HEAD_DROPOUT),
            nn.Linear(HEAD_SIZE, class_count),
        )

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits `(N, C)` of texts int64 `(N, L)`, whose first `lengths` `(N,)` tokens count."""
        return self.of_embedded(self.encoder.embedded(tokens), lengths)

    def of_embedded(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """As `forward`, of tokens that are embedded, `(N, L, E)`."""
        logits: Tensor = self.head(self._pooled(self._features(embedded), lengths))
        return logits

    def _features(self, embedded: Tensor) -> Tensor:
        """The encoder's features of whole texts, `(N, L, E)`."""
        state, pieces = self.encoder.zero_state(len(embedded)), []
        for piece in torch.split(embedded, self.piece, 1):
            features, state = self.encoder.of_embedded(piece, state)
            pieces.append(features)
            state = [(hidden.detach(), cell.detach()) for hidden, cell in state]
        given: Tensor = self.output_dropout(torch.cat(pieces, 1))
        return given

    @staticmethod
    def _pooled(features: Tensor, lengths: Tensor) -> Tensor:
        """The last, the largest and the mean feature of each text, `(N, 3 E)`."""
        texts, places = (torch.arange(size, device=features.device) for size in features.shape[:2])
        beyond = places >= lengths[:, None]
        last = features[texts, lengths - 1]
        largest = features.masked_fill(beyond[:, :, None], -torch.inf).amax(1)
        mean = features.masked_fill(beyond[:, :, None], 0.0).sum(1) / lengths[:, None]
        return torch.cat([last, largest, mean], 1)

    def groups(self) -> list[list[nn.Parameter]]:
        """Parameters from the deepest: embedding, each layer, the head."""
        layers = [list(layer.parameters()) for layer in self.encoder.layers]
        return [[self.encoder.embedding], *layers, list(self.head.parameters())]


def _mask(like: Tensor, rate: float) -> Tensor:
    """Ones, of which a share of `rate` is 0 and the others are enlarged to make up for it."""
    mask: Tensor = torch.empty_like(like).bernoulli_(1 - rate) / (1 - rate)
    return mask
