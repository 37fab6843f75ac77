"""Texts as tokens: the rules, the vocabulary, ragged arrays, and reading them back."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data.tokens import (
    BEGIN,
    COUNTS,
    PAD,
    SPECIAL,
    UNKNOWN,
    SubwordTokens,
    TokenIds,
    WordTokens,
    fold,
    learn_tokens,
    read_tokens,
    write_tokens,
)

WORDS = WordTokens(
    (*SPECIAL, *COUNTS, "the", "cat", "iPhone", "'s", "!", ".", "\n", "very", "don", "'t", "straße")
)


def spelled(text: str | None) -> str:
    """The tokens of a text, without its begin."""
    ids = WORDS.encode(pa.array([text], pa.utf8()))[0]
    assert ids[0] == BEGIN
    return " ".join(WORDS.vocabulary[one] for one in ids[1:])


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("the cat", "the cat"),
        ("The CAT", "xxmaj the xxup cat"),
        ("iPhone IPHONE iphone", "iPhone xxunk xxunk"),
        ("the cat's", "the cat 's"),
        ("don't DON'T", "don 't xxup don xxup 't"),
        ("cat!!", "cat ! !"),
        ("cat!!!!", "cat xxrep 4 !"),
        ("very very very cat", "xxwrep 3 very cat"),
        ("Very very very", "xxmaj very very very"),
        ("!" * 25, "xxrep 10 !"),
        ("dog dog dog dog", "xxunk xxunk xxunk xxunk"),
        ("cat\n\n\ncat", "cat xxrep 3 \n cat"),
        ("the\u00a0cat\tthe\x00cat", "the cat the cat"),
        ("xxmaj xxpad", "xxunk xxunk"),
        ("STRASSE Straße", "xxunk xxmaj straße"),
        ("3 3 3", "xxrep 3 3"),
        ("", ""),
        (None, ""),
        (" \t ", ""),
    ],
)
def test_words_follow_the_rules(text: str | None, tokens: str) -> None:
    assert spelled(text) == tokens


def test_runs_end_with_their_text() -> None:
    found = WORDS.encode(pa.array(["cat cat", "cat", "cat cat cat"]))
    assert found.lengths.tolist() == [3, 2, 4]


@given(
    st.lists(
        st.sampled_from(["the", "The", "THE", "cat", "Cat", "iPhone", "!", ".", "\n", "very"]), max_size=30
    )
)
def test_what_is_read_back_is_encoded_the_same(words: list[str]) -> None:
    first = WORDS.encode(pa.array([" ".join(words)]))
    again = WORDS.encode(pa.array([WORDS.decode(first[0].tolist())]))
    assert again[0].tolist() == first[0].tolist()


@given(st.text())
def test_a_spelling_and_its_case_belong_together(form: str) -> None:
    case, word = fold(form)
    assert word == form or (case != PAD and word == form.lower())


@given(st.lists(st.text(max_size=20), max_size=5))
def test_any_text_has_tokens_of_the_vocabulary_alone(texts: list[str]) -> None:
    found = WORDS.encode(pa.array(texts, pa.utf8()))
    assert len(found) == len(texts)
    assert (found.lengths >= 1).all()
    assert ((found.ids > PAD) & (found.ids < len(WORDS.vocabulary))).all()


def test_the_vocabulary_is_the_most_frequent_words() -> None:
    texts = pa.array(["Cat cat CAT dog dog bird", None])
    learnt = WordTokens.learn(texts, size=len(SPECIAL) + len(COUNTS) + 2, minimum_count=1)
    assert learnt.vocabulary[-2:] == ("cat", "dog")
    assert "bird" not in WordTokens.learn(texts, size=1000, minimum_count=2).vocabulary


def test_a_vocabulary_without_special_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="special tokens"):
        WordTokens(["cat"])


def test_chunks_are_one_column() -> None:
    chunked = pa.chunked_array([["the cat"], ["cat"], []], pa.utf8())
    assert WORDS.encode(chunked).lengths.tolist() == [3, 2]


lengths = st.lists(st.integers(0, 6), min_size=1, max_size=8)


@given(lengths, st.data())
def test_texts_taken_cut_and_padded_are_those_of_lists(sizes: list[int], data: st.DataObject) -> None:
    lists = [[row * 10 + place + 1 for place in range(size)] for row, size in enumerate(sizes)]
    texts = TokenIds(
        np.array([one for part in lists for one in part], np.int32), np.concatenate([[0], np.cumsum(sizes)])
    )
    chosen = data.draw(st.lists(st.integers(0, len(sizes) - 1), max_size=5))
    assert [texts.take(chosen)[row].tolist() for row in range(len(chosen))] == [lists[row] for row in chosen]
    cut = texts.cut(3)
    assert [cut[row].tolist() for row in range(len(sizes))] == [part[:3] for part in lists]
    for row, part in enumerate(texts.padded().tolist()):
        assert part == lists[row] + [PAD] * (max(sizes) - len(lists[row]))


def test_subwords_know_every_text() -> None:
    tokens = learn_tokens("subword", pa.array(["the cat sat on the mat"] * 5), size=300, minimum_count=2)
    assert isinstance(tokens, SubwordTokens)
    found = tokens.encode(pa.array(["the cat 🙂", None]))
    assert tokens.decode(found[0].tolist()) == "the cat 🙂"
    assert UNKNOWN not in found.ids
    assert found[1].tolist() == [BEGIN]


@pytest.mark.parametrize("kind", ["word", "subword"])
def test_tokens_are_read_as_written(tmp_path, kind: str) -> None:
    texts = pa.array(["The cat sat\non the “mat”"])
    tokens = learn_tokens(kind, texts, size=300, minimum_count=1)
    write_tokens(tokens, tmp_path)
    again = read_tokens(tmp_path)
    assert again.vocabulary == tokens.vocabulary
    assert again.encode(texts).ids.tolist() == tokens.encode(texts).ids.tolist()
