import io
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import wavfile

from models.configs import SignalConfig
from models.data.signals import Signals, read_wav

RATE = 8000
RAMP = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE) / 2


def wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    wavfile.write(file, rate, samples)
    return file.getvalue()


def wav_of_24_bits(samples: np.ndarray) -> bytes:
    data = b"".join(int(value).to_bytes(3, "little", signed=True) for value in samples)
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 3 * RATE, 3, 24)
    body = b"WAVE" + head + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


@pytest.mark.parametrize(
    ("content", "within"),
    [
        (wav(np.round(RAMP * 127 + 128).astype(np.uint8)), 1e-2),
        (wav((RAMP * 2**15).astype(np.int16)), 1e-4),
        (wav_of_24_bits((RAMP * 2**23).astype(np.int64)), 1e-6),
        (wav((RAMP * 2**31).astype(np.int32)), 1e-6),
        (wav(RAMP.astype(np.float32)), 1e-7),
        (wav(np.stack([RAMP * 1.5, RAMP * 0.5], 1)), 1e-7),
    ],
    ids=["8 bits", "16 bits", "24 bits", "32 bits", "float", "stereo of doubles"],
)
def test_every_kind_of_wav_gives_the_same_sound(content: bytes, within: float) -> None:
    found = read_wav(content, RATE, RATE)
    assert found.dtype == np.float32
    assert np.abs(found - RAMP).max() < within


@pytest.mark.parametrize("rate", [11_025, 16_000, 44_100, 6_000])
def test_another_sampling_rate_gives_the_same_sound(rate: int) -> None:
    longer = np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate) / 2
    found = read_wav(wav(longer, rate), RATE, RATE)
    # The filter rings at the beginning alone; what comes after the cut was heard by it.
    assert np.abs(found - RAMP)[40:].max() < 2e-3


def test_a_short_sound_is_padded_and_a_long_one_cut() -> None:
    found = read_wav(wav(RAMP[:100]), RATE, 300)
    assert np.array_equal(found[100:], np.zeros(200))
    assert len(read_wav(wav(RAMP), RATE, 300)) == 300


def test_what_is_no_sound_is_named_and_the_rest_is_read() -> None:
    good = wav((RAMP * 2**15).astype(np.int16))
    broken = {
        1: None,
        2: b"",
        3: b"no wav file at all",
        4: good[:2000],
        5: wav(np.empty(0, np.int16)),
        6: wav(np.full(100, np.nan, np.float32)),
        7: wav(np.zeros(100, np.int16), 3),
    }
    column = pa.chunked_array([[good, *broken.values()]], pa.binary())
    waves, unreadable = Signals("audio", SignalConfig(seconds=0.5)).arrays(column)
    assert waves.shape == (8, 4000)
    assert set(unreadable) == set(broken)
    assert unreadable[5] == "no samples"
    assert unreadable[7] == "sampled at 3 Hz, which no sound is"
    assert np.abs(waves[0] - RAMP[:4000]).max() < 1e-4
    assert not waves[1:].any()


def test_series_of_different_lengths_are_stretched_to_the_longest() -> None:
    column = pa.chunked_array(
        [[[0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 1.0], [7.0], [], None, [1.0, None], [np.nan]]]
    )
    series, unreadable = Signals("series", SignalConfig()).arrays(column)
    assert series.tolist()[:3] == [[0, 1, 2, 3, 4], [0, 0.25, 0.5, 0.75, 1], [7] * 5]
    assert unreadable == {
        3: "no values",
        4: "no values",
        5: "values that are missing or no numbers",
        6: "values that are missing or no numbers",
    }
    assert not series[3:].any()


def test_bytes_are_padded_to_the_longest() -> None:
    found, unreadable = Signals("bytes", SignalConfig()).arrays(
        pa.chunked_array([[b"ab", b"", b"abc", None]])
    )
    assert found.tolist() == [[97, 98, 0], [0, 0, 0], [97, 98, 99], [0, 0, 0]]
    assert unreadable == {1: "no bytes", 3: "no bytes"}


def test_columns_without_rows_are_no_error() -> None:
    for kind, column in (("audio", pa.binary()), ("series", pa.list_(pa.float32())), ("bytes", pa.binary())):
        found, unreadable = Signals(kind, SignalConfig()).arrays(pa.chunked_array([], column))
        assert len(found) == 0
        assert not unreadable


def test_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="must be audio, series or bytes"):
        Signals("text", SignalConfig())


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), max_size=9), min_size=1, max_size=6))
def test_stretching_keeps_ends_and_stays_between_them(rows: list[list[float]]) -> None:
    series, _ = Signals("series", SignalConfig()).arrays(pa.chunked_array([rows], pa.list_(pa.float32())))
    for row, stretched in zip(rows, series, strict=True):
        if row:
            assert stretched[0] == np.float32(row[0])
            assert min(row) - 1 <= stretched.min() <= stretched.max() <= max(row) + 1
        if len(row) == series.shape[1]:
            assert stretched.tolist() == row


def picture(kind: str, raw: Any) -> np.ndarray:
    import torch

    return Signals(kind, SignalConfig()).picture(torch.from_numpy(raw)).numpy()


def test_pictures_have_one_channel_from_zero_to_one() -> None:
    random = np.random.default_rng(0)
    for kind, raw, shape in (
        ("audio", random.normal(0, 0.1, (2, 8000)).astype(np.float32), (2, 1, 64, 97)),
        ("series", random.normal(0, 9, (2, 300)).astype(np.float32), (2, 1, 128, 128)),
        ("bytes", random.integers(0, 256, (2, 5000)).astype(np.uint8), (2, 1, 128, 128)),
    ):
        found = picture(kind, raw)
        assert found.dtype == np.float32
        assert found.shape == shape
        assert found.min() >= 0
        assert found.max() <= 1
        assert found.std() > 0.03
