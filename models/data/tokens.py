"""Texts as token ids: words with special tokens for case, repetition and begin, or subwords.

The rules for words are those that an ONNX graph can follow too (`models.export.onnx_tokens`), on any machine
and in any locale; see docs/decisions/tokens-inside-the-graph.md:

- A token is a run of letters, a run of digits, an English contraction ('s, 't, 're, 've, 'll, 'd, 'm), a
  line's end, or any other single character that is seen. Blanks and control characters separate.
- A word that is capitalised or in capitals becomes `xxmaj` or `xxup` and the word in small letters; one of
  mixed case ("iPhone") is a word of its own.
- What stands three times or more in a row becomes `xxrep` (a word: `xxwrep`), the count, and what is repeated
  once. Counts end at ten.
- A text begins with `xxbos`; a word that is not in the vocabulary is `xxunk`.

The special tokens follow Howard and Gugger, "Deep Learning for Coders", chapter 10. All rows are cut at once
by Arrow, whose regular expressions are those of ONNX Runtime (RE2); Python sees each distinct token once.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

PAD, UNKNOWN, BEGIN, CAPITALISED, CAPITALS, REPEATED, REPEATED_WORD = range(7)
SPECIAL = ("xxpad", "xxunk", "xxbos", "xxmaj", "xxup", "xxrep", "xxwrep")
"""Special tokens; the id of each is its place."""
FEWEST_REPEATS, MOST_REPEATS = 3, 10
COUNTS = tuple(str(count) for count in range(FEWEST_REPEATS, MOST_REPEATS + 1))
"""Words that are always known, since `xxrep` and `xxwrep` are followed by one; their ids follow SPECIAL."""

_BLANK = r"\x00-\x09\x0b-\x1f\x7f-\x{9f}\p{Z}\p{Cf}\p{Co}"
TOKEN = rf"[\p{{L}}\p{{M}}]+|\p{{N}}+|['’](?i:s|t|re|ve|ll|d|m)\b|[^{_BLANK}]"
"""What a token is, in RE2's syntax; the longest match counts."""

# Surface forms 0 and 1 are not words: padding, and whatever the table does not hold.
PADDING_FORM, UNKNOWN_FORM, FIRST_FORM = 0, 1, 2

_NO_SPACE_BEFORE = frozenset(",.;:!?)]}%’'\n")
_NO_SPACE_AFTER = frozenset("([{\n")

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class TokenIds:
    """Texts of unequal length: `ids` int32 `(M,)`; text n stands from `offsets[n]` to `offsets[n + 1]`, int64
    `(N + 1,)`.
    """

    ids: Ids
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, text: int) -> Ids:
        return self.ids[self.offsets[text] : self.offsets[text + 1]]

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each text, `(N,)`."""
        return np.diff(self.offsets)

    def take(self, texts: npt.ArrayLike) -> "TokenIds":
        """The texts at these places, in this order."""
        chosen = np.asarray(texts, np.int64)
        offsets = _offsets(self.lengths[chosen])
        shift = np.repeat(self.offsets[chosen] - offsets[:-1], self.lengths[chosen])
        return TokenIds(self.ids[np.arange(offsets[-1]) + shift], offsets)

    def cut(self, longest: int) -> "TokenIds":
        """The first `longest` tokens of each text."""
        place = np.arange(len(self.ids)) - np.repeat(self.offsets[:-1], self.lengths)
        return TokenIds(self.ids[place < longest], _offsets(np.minimum(self.lengths, longest)))

    def padded(self) -> npt.NDArray[np.int64]:
        """All texts as int64 `(N, L)`, `PAD` behind the shorter ones; L is the longest's length."""
        found = np.full((len(self), int(self.lengths.max(initial=0))), PAD, np.int64)
        found[np.arange(found.shape[1]) < self.lengths[:, None]] = self.ids
        return found


class WordTokens:
    """Words of a vocabulary. `vocabulary[id]` is a token's text; it begins with `SPECIAL` and `COUNTS`."""

    kind = "word"
    file = "vocabulary.json"
    always_known = len(SPECIAL) + len(COUNTS)

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        if self.vocabulary[: self.always_known] != SPECIAL + COUNTS:
            raise ValueError("a vocabulary begins with the special tokens and the counts")

    @classmethod
    def learn(cls, texts: pa.Array | pa.ChunkedArray, *, size: int, minimum_count: int) -> "WordTokens":
        """The words that are most frequent in `texts`, at most `size` with the special tokens, each seen
        `minimum_count` times or more.
        """
        forms, places, _ = _cut(texts)
        seen: Counter[str] = Counter()
        for form, count in zip(
            forms.to_pylist(), np.bincount(places, minlength=len(forms)).tolist(), strict=True
        ):
            seen[fold(form)[1]] += count
        for always in SPECIAL + COUNTS:
            seen.pop(always, None)
        ranked = sorted(seen.items(), key=lambda item: (-item[1], item[0]))
        room = max(size - len(SPECIAL) - len(COUNTS), 0)
        words = [word for word, count in ranked[:room] if count >= minimum_count]
        return cls((*SPECIAL, *COUNTS, *words))

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """Every spelling that stands for known tokens; that at place k is surface form `FIRST_FORM + k`."""
        return tuple(self._spelled)

    @cached_property
    def form_ids(self) -> npt.NDArray[np.int64]:
        """What each surface form stands for, int64 `(F, 2)`: its case's token, or `PAD`, and the word."""
        return np.array([(PAD, PAD), (PAD, UNKNOWN), *self._spelled.values()], np.int64)

    @cached_property
    def form_marks(self) -> npt.NDArray[np.int64]:
        """`REPEATED_WORD` for surface forms that are words, `REPEATED` for others, int64 `(F,)`."""
        words = [form[0].isalpha() for form in self.forms]
        return np.array([PAD, PAD, *(REPEATED_WORD if word else REPEATED for word in words)], np.int64)

    @cached_property
    def count_ids(self) -> npt.NDArray[np.int64]:
        """The token that says a count, int64 `(11,)`; `PAD` below `FEWEST_REPEATS`."""
        first = len(SPECIAL)
        return np.array([PAD] * FEWEST_REPEATS + [*range(first, first + len(COUNTS))], np.int64)

    def encode(self, texts: pa.Array | pa.ChunkedArray) -> TokenIds:
        """Ids of texts; a null is an empty text, which is `xxbos` alone."""
        distinct, places, lengths = _cut(texts)
        known = pc.index_in(distinct, pa.array(self.forms, distinct.type))
        form_of = pc.fill_null(pc.add(known, FIRST_FORM), UNKNOWN_FORM).to_numpy(zero_copy_only=False)
        forms = form_of.astype(np.int64)[places] if len(places) else places
        row = np.repeat(np.arange(len(lengths)), lengths)

        same = np.zeros(len(forms), bool)
        same[1:] = (forms[1:] == forms[:-1]) & (row[1:] == row[:-1]) & (forms[1:] >= FIRST_FORM)
        run = np.cumsum(~same) - 1
        run_length = np.bincount(run)[run] if len(run) else run
        repeated = run_length >= FEWEST_REPEATS
        kept = ~(same & repeated)
        slots = np.column_stack(
            [
                np.where(repeated, self.form_marks[forms], PAD),
                self.count_ids[np.minimum(run_length, MOST_REPEATS)],
                self.form_ids[forms],
            ]
        )[kept]  # (K, 4)
        present = slots != PAD
        given = np.bincount(row[kept], weights=present.sum(1), minlength=len(lengths)).astype(np.int64)
        offsets = _offsets(given + 1)
        ids = np.full(offsets[-1], BEGIN, np.int32)
        ids[np.arange(int(given.sum())) + np.repeat(np.arange(len(given)) + 1, given)] = slots[present]
        return TokenIds(ids, offsets)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids as a person reads it; an unknown word is …"""
        found, case, times, mark = "", PAD, 1, PAD
        opening = True
        for token in ids:
            if token in (PAD, BEGIN):
                continue
            if token in (CAPITALISED, CAPITALS):
                case = token
            elif token in (REPEATED, REPEATED_WORD):
                mark = token
            elif mark != PAD and times == 1 and self.vocabulary[token] in COUNTS:
                times = int(self.vocabulary[token])
            else:
                word = "…" if token == UNKNOWN else _in_case(self.vocabulary[token], case)
                between = " " if mark == REPEATED_WORD else ""
                close = opening or word[0] in _NO_SPACE_BEFORE
                found += ("" if close else " ") + between.join([word] * times)
                opening = word[-1] in _NO_SPACE_AFTER
                case, times, mark = PAD, 1, PAD
        return found

    def document(self) -> str:
        """All that `read_tokens` needs."""
        return json.dumps(self.vocabulary, ensure_ascii=False)

    @cached_property
    def _spelled(self) -> dict[str, tuple[int, int]]:
        """Spellings with the tokens that they stand for."""
        found: dict[str, tuple[int, int]] = {}
        for token, word in enumerate(self.vocabulary[len(SPECIAL) :], len(SPECIAL)):
            found[word] = (PAD, token)
            for spelling in (word.capitalize(), word.upper()):
                case, folded = fold(spelling)
                if folded == word and case != PAD:
                    found[spelling] = (case, token)
        return found


class SubwordTokens:
    """Byte-level byte pair encoding (Sennrich and others, 2016) by the `tokenizers` library.

    Nothing is unknown. Its rules are not run inside an ONNX graph, which takes ids; `tokenizer.json` is kept
    with the model.
    """

    kind = "subword"
    file = "tokenizer.json"
    # The bytes and the special tokens.
    always_known = 256 + BEGIN + 1

    def __init__(self, document: str) -> None:
        from tokenizers import Tokenizer

        self._document = document
        self._tokenizer = Tokenizer.from_str(document)
        words = self._tokenizer.get_vocab()
        self.vocabulary = tuple(sorted(words, key=words.__getitem__))

    @classmethod
    def learn(cls, texts: pa.Array | pa.ChunkedArray, *, size: int, minimum_count: int) -> "SubwordTokens":
        """Merges pairs seen `minimum_count` times or more in `texts` until there are `size` tokens."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=minimum_count,
            special_tokens=list(SPECIAL[: BEGIN + 1]),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(_strings(texts), trainer)
        return cls(tokenizer.to_str())

    def encode(self, texts: pa.Array | pa.ChunkedArray) -> TokenIds:
        """Ids of texts; a null is an empty text, which is `xxbos` alone."""
        found = [one.ids for one in self._tokenizer.encode_batch_fast(_strings(texts))]
        ids = [np.array([BEGIN, *one], np.int32) for one in found]
        flat = np.concatenate(ids) if ids else np.empty(0, np.int32)
        return TokenIds(flat, _offsets([len(one) for one in ids]))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""
        return str(self._tokenizer.decode([int(one) for one in ids], skip_special_tokens=True))

    def document(self) -> str:
        """What the `tokenizers` library reads, in many languages."""
        return self._document


Tokens = WordTokens | SubwordTokens


def learn_tokens(kind: str, texts: pa.Array | pa.ChunkedArray, *, size: int, minimum_count: int) -> Tokens:
    """Tokens of `kind`, "word" or "subword", learnt from the training texts."""
    chosen = SubwordTokens if kind == SubwordTokens.kind else WordTokens
    return chosen.learn(texts, size=size, minimum_count=minimum_count)


def write_tokens(tokens: Tokens, folder: Path) -> None:
    """Writes `vocabulary.json` or `tokenizer.json`."""
    (folder / tokens.file).write_text(tokens.document(), encoding="utf-8")


def read_tokens(folder: Path) -> Tokens:
    """What `write_tokens` wrote. Raises `FileNotFoundError` where it did not."""
    subwords = folder / SubwordTokens.file
    if subwords.is_file():
        return SubwordTokens(subwords.read_text(encoding="utf-8"))
    return WordTokens(json.loads((folder / WordTokens.file).read_text(encoding="utf-8")))


def fold(form: str) -> tuple[int, str]:
    """The token of a spelling's case (`CAPITALISED`, `CAPITALS`, or `PAD` for neither) and the word in small
    letters; a word of mixed case stays as it is.
    """
    small = form.lower()
    if form == small:
        return PAD, form
    if len(form) > 1 and form == small.upper():
        return CAPITALS, small
    if form == small.capitalize():
        return CAPITALISED, small
    return PAD, form


def _in_case(word: str, case: int) -> str:
    if case == CAPITALISED:
        return word.capitalize()
    return word.upper() if case == CAPITALS else word


def _cut(
    texts: pa.Array | pa.ChunkedArray,
) -> tuple[pa.Array, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Distinct tokens as they are spelled, each token's place among them `(M,)`, and tokens a text `(N,)`."""
    column = pc.fill_null(pc.cast(texts, pa.large_utf8()), "")
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    # Each token is closed by a separator, so that what is left between separators is exactly the tokens.
    closed = pc.replace_substring_regex(column, f"({TOKEN})", r"\1" + "\x1f")
    parts = pc.split_pattern_regex(closed, f"[{_BLANK}]+")
    flat = parts.flatten()
    there = pc.not_equal(flat, "")
    row = pc.list_parent_indices(parts).filter(there).to_numpy(zero_copy_only=False)
    encoded = flat.filter(there).dictionary_encode()
    places = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return encoded.dictionary, places, np.bincount(row, minlength=len(column)).astype(np.int64)


def _strings(texts: pa.Array | pa.ChunkedArray) -> list[str]:
    found: list[str] = pc.fill_null(pc.cast(texts, pa.large_utf8()), "").to_pylist()
    return found


def _offsets(lengths: npt.ArrayLike) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, np.int64))]).astype(np.int64)
