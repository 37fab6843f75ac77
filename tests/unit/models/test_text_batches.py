"""Batches of texts, and rows without a text."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.data.text import LengthBatches, StreamBatches, has_text, texts_of, with_text
from models.data.tokens import TokenIds
from models.progress import TrainingFailed
from models.recipe import BINARY, Input, Problem
from tests.unit.models.small_texts import OPINION, WRITING, opinions


def texts(*sizes: int) -> TokenIds:
    return TokenIds(np.arange(1, sum(sizes) + 1, dtype=np.int32), np.concatenate([[0], np.cumsum(sizes)]))


def test_streams_go_on_from_batch_to_batch() -> None:
    batches = StreamBatches(texts(30), texts(30), stream_count=3, sequence_length=4, seed=0)
    made = list(batches.valid())
    tokens = torch.cat([batch[0] for batch in made], 1)
    assert tokens.tolist() == [list(range(start, start + 9)) for start in (1, 10, 19)]
    assert torch.equal(torch.cat([batch[1] for batch in made], 1), tokens + 1)
    assert [float(batch[3][0]) for batch in made] == [0.0, 1.0, 1.0]


def test_an_epoch_can_be_entered_anywhere() -> None:
    batches = StreamBatches(texts(*[7] * 9), texts(20), stream_count=2, sequence_length=5, seed=3)
    whole, part = list(batches.train(1)), list(batches.train(1)[4:])
    assert len(part) == len(whole) - 4
    for one, other in zip(whole[4:], part, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(whole[0][0], batches.train(2)[0][0])


def test_texts_of_like_length_stand_together() -> None:
    sizes = [1 + 7 * row % 40 for row in range(41)]
    part = (texts(*sizes), torch.arange(41))
    batches = LengthBatches(part, part, 8, seed=0)
    made = list(batches.train(0))
    # The 41st text would be alone in a batch, and is left out.
    assert sorted(int(one) for batch in made for one in batch[2]) == sorted(set(range(41)) - {sizes.index(1)})
    longest = max(sizes)
    assert int(made[0][1].max()) == longest
    for tokens, lengths, rows in made:
        assert tokens.shape == (len(rows), int(lengths.max()))
        assert int(lengths.max()) <= 1.3 * int(lengths.min()) + 8
        assert [sizes[row] for row in rows] == lengths.tolist()
        assert ((tokens > 0).sum(1) == lengths).all()
    assert [int(one) for batch in batches.valid() for one in batch[2]] == list(range(41))


def test_the_order_of_lengths_differs_by_epoch_and_not_by_run() -> None:
    part = (texts(*range(1, 65)), torch.arange(64))
    batches = LengthBatches(part, part, 8, seed=0)
    first, again, next_ = ([batch[2].tolist() for batch in batches.train(epoch)] for epoch in (0, 0, 1))
    assert first == again != next_


def test_rows_without_a_text_are_left_out_and_named() -> None:
    table = opinions(40).set_column(1, "text", pa.array([None, "  ", *["some words"] * 38]))
    left, warnings = with_text(table, WRITING, "training")
    assert left.num_rows == 38
    assert warnings == ("2 training rows have an empty text (t0, t1); they are left out",)
    assert has_text(table, WRITING).tolist() == [False, False, *[True] * 38]


def test_rows_without_an_id_are_named_by_number() -> None:
    problem = Problem(BINARY, OPINION.inputs, OPINION.target, "accuracy")
    table = opinions(20).set_column(1, "text", pa.array(["word"] * 19 + [""]))
    assert "(row 19)" in with_text(table, problem, "training")[1][0]


@pytest.mark.parametrize(("empty", "reason"), [(5, "more than a tenth"), (20, "No training row has a text")])
def test_too_many_rows_without_a_text_fail_the_fit(empty: int, reason: str) -> None:
    table = opinions(20).set_column(1, "text", pa.array(["\n"] * empty + ["word"] * (20 - empty)))
    with pytest.raises(TrainingFailed, match=reason):
        with_text(table, OPINION, "training")


def test_the_text_must_be_one_and_there() -> None:
    with pytest.raises(TrainingFailed, match="lack the text"):
        texts_of(pa.table({"id": ["a"]}), OPINION)
    two = Problem(BINARY, (Input("a", "text"), Input("b", "text")), OPINION.target, "accuracy")
    with pytest.raises(TrainingFailed, match="one text feature"):
        texts_of(opinions(3), two)
