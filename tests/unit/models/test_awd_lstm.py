"""The AWD-LSTM: the same as torch's LSTM without dropouts, each dropout's nature, state, pooling."""

import pytest
import torch
from torch import nn

from models.nets.awd_lstm import (
    AwdLstm,
    AwdLstmSpec,
    LanguageNet,
    LockedDropout,
    StatefulLoss,
    TextNet,
    WeightDroppedLstm,
)

SPEC = AwdLstmSpec(vocabulary_size=20, embedding_size=6, hidden_size=8, layer_count=2, dropout_scale=0.5)


def tokens(rows: int, length: int) -> torch.Tensor:
    return torch.randint(1, 20, (rows, length), generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_without_dropout_a_layer_is_torchs_lstm() -> None:
    own, theirs = WeightDroppedLstm(3, 5, 0.5).eval(), nn.LSTM(3, 5, batch_first=True)
    pairs = zip(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"), own.parameters(), strict=True)
    with torch.no_grad():
        for name, parameter in pairs:
            getattr(theirs, name).copy_(parameter)
        features = torch.randn(2, 4, 3)
        given, (hidden, cell) = own(features, (torch.zeros(2, 5), torch.zeros(2, 5)))
        expected, (their_hidden, their_cell) = theirs(features)
    torch.testing.assert_close(given, expected)
    torch.testing.assert_close(hidden, their_hidden[0])
    torch.testing.assert_close(cell, their_cell[0])


def test_weights_are_dropped_in_training_alone_and_learn() -> None:
    layer = WeightDroppedLstm(3, 5, 0.5).train()
    features, state = torch.randn(1, 4, 3), (torch.zeros(1, 5), torch.zeros(1, 5))
    kept = layer.state_weight.detach().clone()
    first, second = layer(features, state)[0], layer(features, state)[0]
    assert not torch.equal(first, second)
    first.sum().backward()
    assert torch.equal(layer.state_weight, kept)
    assert layer.state_weight.grad is not None
    assert (layer.state_weight.grad == 0).any()
    assert (layer.state_weight.grad != 0).any()


def test_locked_dropout_drops_the_same_features_at_all_times() -> None:
    given = LockedDropout(0.5).train()(torch.ones(3, 10, 40))
    assert torch.equal(given, given[:, :1].expand_as(given))
    assert given.unique().tolist() == [0.0, 2.0]


def test_embedding_dropout_drops_whole_words_everywhere() -> None:
    encoder = AwdLstm(AwdLstmSpec(20, 6, 8, 2, dropout_scale=8.0)).train()
    same = torch.full((4, 9), 3)
    given = encoder.embedded(same)
    assert torch.equal(given, given[:1, :1].expand_as(given))


def test_reading_in_pieces_is_reading_at_once() -> None:
    encoder = AwdLstm(SPEC).eval()
    text = tokens(3, 10)
    whole, _ = encoder(text, encoder.zero_state(3))
    first, state = encoder(text[:, :4], encoder.zero_state(3))
    second, _ = encoder(text[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)


def test_a_stream_goes_on_from_its_buffers_and_begins_anew() -> None:
    loss = StatefulLoss(LanguageNet(SPEC), 3, activation_penalty=0.0, change_penalty=0.0).eval()
    stream = tokens(3, 11)
    begins, goes_on = (torch.arange(3), torch.zeros(3, 1)), (torch.arange(3), torch.ones(3, 1))
    whole = loss(stream[:, :10], stream[:, 1:], *begins)
    first = loss(stream[:, :6], stream[:, 1:7], *begins)
    kept = {name: value.clone() for name, value in loss.state_dict().items()}
    second = loss(stream[:, 6:10], stream[:, 7:], *goes_on)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    loss.load_state_dict(kept)
    assert torch.equal(loss(stream[:, 6:10], stream[:, 7:], *goes_on), second)
    assert not torch.equal(loss(stream[:, 6:10], stream[:, 7:], *begins), second)


def test_a_process_carries_its_own_streams() -> None:
    loss = StatefulLoss(LanguageNet(SPEC), 4, activation_penalty=0.0, change_penalty=0.0).eval()
    stream, all_streams = tokens(4, 9), torch.arange(4)
    loss(stream[:, :4], stream[:, 1:5], all_streams, torch.zeros(4, 1))
    expected = loss(stream[:, 4:8], stream[:, 5:], all_streams, torch.ones(4, 1))
    loss(stream[:, :4], stream[:, 1:5], all_streams, torch.zeros(4, 1))
    mine = slice(1, 4, 2)
    given = loss(stream[mine, 4:8], stream[mine, 5:], all_streams[mine], torch.ones(2, 1))
    torch.testing.assert_close(given, expected[mine])
    assert (loss.get_buffer("hidden_0")[0] != 0).any()


def test_penalties_are_added_in_training_alone() -> None:
    net = LanguageNet(AwdLstmSpec(20, 6, 8, 2, dropout_scale=0.0))
    plain, penalised = (
        StatefulLoss(net, 2, activation_penalty=one, change_penalty=one / 2) for one in (0.0, 4.0)
    )
    stream = tokens(2, 7)
    batch = (stream[:, :6], stream[:, 1:], torch.arange(2), torch.zeros(2, 1))
    features, _ = net.encoder(stream[:, :6], net.encoder.zero_state(2))
    change = features[:, 1:] - features[:, :-1]
    expected = 4.0 * features.square().mean() + 2.0 * change.square().mean()
    torch.testing.assert_close(penalised.train()(*batch) - plain.train()(*batch), expected.expand(2, 6))
    torch.testing.assert_close(penalised.eval()(*batch), plain.eval()(*batch))


def test_the_first_guess_is_the_frequencies() -> None:
    net = LanguageNet(SPEC)
    with torch.no_grad():
        net.encoder.embedding.zero_()
    net.begin_at(torch.arange(20.0))
    chance = net.next_logits(tokens(1, 3), net.encoder.zero_state(1))[0].softmax(1)[0]
    torch.testing.assert_close(chance, torch.arange(1.0, 21.0) / 210)


def test_padding_changes_no_answer() -> None:
    net = TextNet(AwdLstm(SPEC), 3, piece=4).eval()
    texts, lengths = tokens(2, 9), torch.tensor([9, 5])
    padded = texts.clone()
    padded[1, 5:] = 0
    alone = net(texts[1:, :5], torch.tensor([5]))
    torch.testing.assert_close(net(padded, lengths)[1:], alone)


def test_gradients_end_where_a_piece_begins() -> None:
    net = TextNet(AwdLstm(SPEC), 2, piece=4).eval()
    embedded = net.encoder.embedded(tokens(1, 8)).detach().requires_grad_(True)
    features = net._features(embedded)
    (gradient,) = torch.autograd.grad(features[:, -1].sum(), embedded)
    assert (gradient[:, :4] == 0).all()
    assert (gradient[:, 4:] != 0).any()


def test_groups_hold_every_parameter_once() -> None:
    for net in (LanguageNet(SPEC), TextNet(AwdLstm(SPEC), 2, piece=4)):
        grouped = [id(parameter) for group in net.groups() for parameter in group]
        assert sorted(grouped) == sorted(id(parameter) for parameter in net.parameters())
