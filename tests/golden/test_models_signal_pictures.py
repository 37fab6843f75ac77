"""Signals as pictures against published references and straightforward forms of the formulas, and the same
module in ONNX Runtime.

The mel filters are those of librosa 0.10.2, `librosa.filters.mel(sr=22050, n_fft=2048, n_mels=128)`, and the
frequencies those of the documentation of its `mel_frequencies(n_mels=40)`.
"""

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from models.export.module_graph import module_graph
from models.nets.signal_pictures import (
    BytePicture,
    GramianField,
    LogMel,
    hz_of,
    mel_filters,
    mel_of,
    span_means,
)

PUBLISHED_HZ = {0: 0.0, 1: 85.317, 11: 938.49, 12: 1024.856, 20: 2071.84, 30: 4994.285, 39: 11025.0}
# Band, the frequency at which it is heaviest, that weight, the sum of its weights.
PUBLISHED_FILTERS = [
    (0, 2, 0.03236570642, 0.09034588249),
    (3, 10, 0.03201808707, 0.09034588249),
    (7, 19, 0.03608894414, 0.09406912021),
    (40, 99, 0.02952763811, 0.09086537789),
    (90, 373, 0.009049039185, 0.09281654659),
    (127, 997, 0.003485250552, 0.09286924161),
]


def test_mel_frequencies_are_the_published_ones() -> None:
    found = hz_of(np.linspace(0, float(mel_of(11025)), 40))
    assert found[list(PUBLISHED_HZ)] == pytest.approx(list(PUBLISHED_HZ.values()), abs=5e-4)


def test_mel_filters_are_librosas() -> None:
    found = mel_filters(22050, 2048, 128)
    for band, heaviest, weight, total in PUBLISHED_FILTERS:
        assert found[band].argmax() == heaviest
        assert found[band].max() == pytest.approx(weight, rel=1e-9)
        assert found[band].sum() == pytest.approx(total, rel=1e-9)


def test_the_spectrogram_is_that_of_a_fourier_transform_in_float64() -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, (2, 4000)).astype(np.float32)
    picture = LogMel(8000, 64)(torch.from_numpy(audio))[:, 0].numpy()
    frames = np.lib.stride_tricks.sliding_window_view(audio.astype(float), 256, axis=1)[:, ::80]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    power = np.abs(np.fft.rfft(frames * window, 512)) ** 2 @ mel_filters(8000, 512, 64).T
    decibels = 10 * np.log10(power / power.max((1, 2), keepdims=True))
    expected = np.clip(1 + decibels / 80, 0, 1).transpose(0, 2, 1)[:, ::-1]
    assert np.abs(picture - expected).max() < 1e-5


def test_a_tone_is_bright_in_its_own_band_whatever_its_loudness_and_silence_is_black() -> None:
    time = torch.arange(8000) / 8000
    tone = torch.sin(2 * torch.pi * 1000 * time)
    loud, quiet, silent = LogMel(8000, 64)(torch.stack([tone, tone / 100, 0 * tone]))[:, 0]
    bands = hz_of(np.linspace(0, float(mel_of(4000)), 66))[1:-1]
    assert abs(bands[63 - int(loud.mean(1).argmax())] - 1000) < 60
    assert torch.allclose(loud, quiet, atol=1e-4)
    assert not silent.any()


def test_the_gramian_field_is_the_sine_of_differences_of_angles() -> None:
    series = np.random.default_rng(1).normal(5, 3, (3, 128))
    low, high = series.min(1, keepdims=True), series.max(1, keepdims=True)
    angle = np.arccos(np.clip(((series - high) + (series - low)) / (high - low), -1, 1))
    expected = np.sin(angle[:, :, None] - angle[:, None, :])
    found = GramianField()(torch.from_numpy(series.astype(np.float32)))[:, 0].numpy()
    assert np.abs(found - (0.5 + 0.5 * expected)).max() < 1e-3  # arccos is steep at its ends
    assert (GramianField()(torch.full((1, 50), 7.0)) == 0.5).all()


def test_spans_of_a_divisible_length_are_plain_means() -> None:
    series = torch.randn(2, 384, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(span_means(series, 128).float(), series.reshape(2, 128, 3).mean(2), atol=1e-6)
    assert torch.allclose(
        span_means(torch.tensor([[1.0, 2.0, 3.0]]), 2), torch.tensor([[4 / 3, 8 / 3]]).double()
    )


def test_bytes_are_laid_out_at_the_published_width() -> None:
    for count, width in ((4096, 32), (16384, 64), (32768, 128), (65536, 256)):
        column = np.tile(np.arange(width) * 255 // (width - 1), count // width).astype(np.uint8)
        found = BytePicture()(torch.from_numpy(np.maximum(column, 1)[None]))[0, 0].numpy()
        assert np.array_equal(found, np.broadcast_to(found[0], found.shape))
        assert (np.diff(found[0]) >= 0).all()


def test_zeros_at_the_end_of_bytes_change_nothing() -> None:
    given = torch.randint(1, 256, (1, 3000), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    padded = torch.nn.functional.pad(given, (0, 40_000))
    assert torch.equal(BytePicture()(given), BytePicture()(padded))
    assert not BytePicture()(torch.zeros(1, 10, dtype=torch.uint8)).any()


@pytest.mark.parametrize(
    ("name", "module", "raw"),
    [
        ("audio", LogMel(8000, 64), torch.rand(3, 8000) - 0.5),
        ("series", GramianField(), torch.randn(3, 500)),
        ("bytes", BytePicture(), torch.randint(0, 256, (3, 20_000), dtype=torch.uint8)),
    ],
)
def test_onnx_runtime_draws_the_same_pictures_of_any_length(
    name: str, module: Any, raw: torch.Tensor
) -> None:
    model = module_graph(
        module, {name: raw}, ["picture"], {name: {0: "N", 1: "T"}}, description="", properties={}
    )
    assert b"/models/nets/" not in model.SerializeToString()
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for given in (raw, raw[:1, :1000], raw[:2, :4001]):
        (found,) = session.run(None, {name: given.numpy()})
        assert np.abs(found - module(given).numpy()).max() < 1e-4
