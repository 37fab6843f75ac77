"""Signals as pictures, by fixed arithmetic that sits in the exported graph: each module maps aligned raw
signals `(N, T)`, T of any length, to grey pictures `(N, 1, H, W)` float32, 0 black to 1 white.

Nothing here learns. A batch is computed row by row alike, so a row's picture does not depend on its
neighbours.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

# Of speech recognition: frames of 32 ms, one each 10 ms.
FRAME_S, HOP_S = 0.032, 0.010
RANGE_DB = 80.0
# A sound whose loudest band is below this power is not raised to full brightness, so that silence is black.
QUIETEST_PEAK, LEAST_POWER = 1e-4, 1e-12

# Slaney's mel scale: linear up to 1 kHz, logarithmic above, 27 steps for each factor of 6.4.
HZ_A_MEL, BREAK_HZ, LOG_STEP = 200 / 3, 1000.0, math.log(6.4) / 27

SERIES_POINTS = 128
BYTES_SIZE = 128
# Bytes below which a file is laid out at the width, in pixels: Nataraj and others, table 1.
BYTES_WIDTHS = ((10 << 10, 32), (30 << 10, 64), (60 << 10, 128))
WIDEST = 256


def mel_of(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Slaney's mels of frequencies in Hz. Source: Slaney, "Auditory Toolbox", 1998."""
    f = np.asarray(hz, float)
    break_mel = BREAK_HZ / HZ_A_MEL
    return np.where(
        f < BREAK_HZ, f / HZ_A_MEL, break_mel + np.log(np.maximum(f, BREAK_HZ) / BREAK_HZ) / LOG_STEP
    )


def hz_of(mel: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Frequencies in Hz of Slaney's mels; the inverse of `mel_of`."""
    m = np.asarray(mel, float)
    above = m - BREAK_HZ / HZ_A_MEL
    return np.where(above < 0, m * HZ_A_MEL, BREAK_HZ * np.exp(LOG_STEP * np.maximum(above, 0)))


def mel_filters(sample_rate_hz: int, fft_size: int, band_count: int) -> npt.NDArray[np.float64]:
    """Weights of each frequency in each band, `(band_count, fft_size // 2 + 1)`, lowest band first.

    Triangles whose corners are equally far apart in mels from 0 Hz to half the sampling rate, each of area 1
    in Hz, so that white noise is equally loud in every band (Slaney 1998).
    """
    corners = hz_of(np.linspace(0.0, float(mel_of(sample_rate_hz / 2)), band_count + 2))
    frequencies = np.linspace(0.0, sample_rate_hz / 2, fft_size // 2 + 1)
    left, centre, right = (corners[k : k + band_count, None] for k in range(3))
    rising, falling = (frequencies - left) / (centre - left), (right - frequencies) / (right - centre)
    return np.maximum(0.0, np.minimum(rising, falling)) * 2 / (right - left)


class LogMel(nn.Module):
    """Waveforms `(N, T)` float32, -1 to 1, to log-mel spectrograms: time from left to right, one column each
    10 ms; frequency from the highest band at the top to the lowest, `band_count` rows.

    Brightness is the power in decibels, the 80 dB below the picture's loudest point; loudness of the
    recording as a whole therefore does not show. T must be 32 ms at least. The Fourier transform is two
    products with fixed matrices (cosines and sines of a Hann window), which every runtime computes alike.
    """

    def __init__(self, sample_rate_hz: int, band_count: int) -> None:
        super().__init__()
        self.frame = round(FRAME_S * sample_rate_hz)
        self.hop = round(HOP_S * sample_rate_hz)
        # Zeros around the frame make the frequencies twice as fine, so that no low band falls between two.
        fft_size = 2 * 2 ** math.ceil(math.log2(self.frame))
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.frame) / self.frame)
        turns = 2 * np.pi * np.outer(np.arange(fft_size // 2 + 1), np.arange(self.frame)) / fft_size
        waves = np.concatenate([np.cos(turns), np.sin(turns)]) * window
        filters = mel_filters(sample_rate_hz, fft_size, band_count)[::-1].copy()
        self.waves: Tensor
        self.filters: Tensor
        self.register_buffer("waves", torch.from_numpy(waves).float()[:, None], persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """The pictures, `(N, 1, band_count, 1 + (T - frame) // hop)`."""
        spectrum = functional.conv1d(audio[:, None], self.waves, stride=self.hop)  # (N, 2 F, frames)
        cosines, sines = spectrum.chunk(2, dim=1)
        power = self.filters @ (cosines * cosines + sines * sines)  # (N, bands, frames)
        peak = power.amax((1, 2), keepdim=True).clamp(min=QUIETEST_PEAK)
        decibels = 10 * torch.log10(power.clamp(min=LEAST_POWER) / peak)
        return (1 + decibels / RANGE_DB).clamp(0, 1)[:, None]


class GramianField(nn.Module):
    """Series `(N, T)` float32 to Gramian angular difference fields, 128 x 128: the point at row i and column
    j is the sine of the difference of the angles whose cosines are the values at times i and j.

    A series is first averaged over 128 equal spans of time (piecewise aggregate approximation; a shorter one
    is stretched), then scaled so that its lowest value is -1 and its highest 1. A constant series is grey all
    over. Source: Wang and Oates, "Imaging time-series to improve classification and imputation", IJCAI 2015,
    (1) to (6).
    """

    def forward(self, series: Tensor) -> Tensor:
        """The pictures, `(N, 1, 128, 128)`; -1 of the field is black, 1 white."""
        means = span_means(series, SERIES_POINTS)
        low, high = means.amin(1, keepdim=True), means.amax(1, keepdim=True)
        spread = high - low
        scaled = (2 * means - high - low) / torch.where(spread > 0, spread, 1.0)
        cosine = scaled.clamp(-1, 1)
        sine = torch.sqrt((1 - cosine * cosine).clamp(min=0))
        field = sine[:, :, None] * cosine[:, None, :] - cosine[:, :, None] * sine[:, None, :]
        return (0.5 + 0.5 * field.float())[:, None]


def span_means(series: Tensor, count: int) -> Tensor:
    """Means of `count` equal spans of time, `(N, T)` to `(N, count)` float64; a value that a border cuts
    counts in both spans by its parts. Differences of the running sum at the borders, exact for any T of 1 or
    more.
    """
    length = series.shape[1]
    sums = functional.pad(torch.cumsum(series.double(), 1), (1, 0))  # (N, T + 1)
    borders = torch.arange(count + 1, dtype=torch.float64, device=series.device) * length / count
    before = borders.floor().clamp(max=length - 1).long()
    at = sums[:, before] + (sums[:, before + 1] - sums[:, before]) * (borders - before)
    return (at[:, 1:] - at[:, :-1]) * count / length


class BytePicture(nn.Module):
    """Bytes `(N, T)` uint8 to pictures of 128 x 128 in which a byte is a pixel, 0 black to 255 white, row
    after row at a width that follows from their number. Zeros at the end are padding and not counted.

    Source: Nataraj and others, "Malware images", VizSec 2011, table 1. The picture is brought to one size by
    the means of 2 x 2 pixels, each the nearest to its place.
    """

    def forward(self, given: Tensor) -> Tensor:
        """The pictures, `(N, 1, 128, 128)`; no bytes at all are black."""
        position = torch.arange(given.shape[1], device=given.device)
        length = torch.where(given > 0, position + 1, 0).amax(1)  # (N,)
        width = torch.full_like(length, WIDEST)
        for bound, narrower in reversed(BYTES_WIDTHS):
            width = torch.where(length < bound, narrower, width)
        height = ((length + width - 1) // width).clamp(min=1)
        # Places by whole numbers alone, which no runtime rounds in its own way.
        place = 2 * torch.arange(2 * BYTES_SIZE, device=given.device) + 1
        row = place[None] * height[:, None] // (4 * BYTES_SIZE)  # (N, 256)
        column = place[None] * width[:, None] // (4 * BYTES_SIZE)
        index = (row * width[:, None])[:, :, None] + column[:, None]  # (N, 256, 256)
        known = index < length[:, None, None]
        values = torch.gather(given, 1, torch.where(known, index, 0).flatten(1)).view(index.shape)
        pixels = torch.where(known, values.float() / 255, 0.0)
        return functional.avg_pool2d(pixels[:, None], 2)
