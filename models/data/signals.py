"""Sound, series and bytes out of a table's column as aligned arrays, and the module that makes pictures of
them.

What is done here needs one file at a time (reading WAV, resampling); all that follows is arithmetic on arrays
and sits in the exported graph, `models.nets.signal_pictures`. What cannot be read is left out and named.
"""

import io
import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.configs import SignalConfig

AUDIO, SERIES, BYTES = "audio", "series", "bytes"
# Sampling rates outside are damage, not sound, and resampling them would need filters without bound.
SLOWEST_HZ, FASTEST_HZ = 1_000, 768_000
# The part of a file that is looked at: rows are padded to the longest, and memory is rows times it.
LONGEST_BYTES = 1 << 16
LONGEST_SERIES = 1 << 16
SHORTEST_S = 0.05

Floats = npt.NDArray[np.float32]


class Signals:
    """How columns of one type ("audio", "series", "bytes") become pictures."""

    def __init__(self, type: str, config: SignalConfig) -> None:
        if type not in (AUDIO, SERIES, BYTES):
            raise ValueError(f"type is {type!r}; must be audio, series or bytes")
        self.type = type
        self.config = config

    @property
    def picture(self) -> Any:
        """A `torch.nn.Module` without weights: a batch of raw arrays to pictures `(N, 1, H, W)`, 0 to 1."""
        from models.nets.signal_pictures import BytePicture, GramianField, LogMel

        if self.type == AUDIO:
            return LogMel(self.config.sample_rate_hz, self.config.mel_band_count)
        return GramianField() if self.type == SERIES else BytePicture()

    def arrays(self, column: pa.ChunkedArray) -> tuple[npt.NDArray[Any], dict[int, str]]:
        """Raw signals and, by row, why a row could not be read (its signal is zeros).

        "audio": float32 `(N, T)`, -1 to 1, T as `config` says. "series": float32 `(N, T)`, T the longest
        row's; if rows differ in length, each is stretched to it. "bytes": uint8 `(N, T)`, T the longest
        row's, padded with zeros.
        """
        if self.type == AUDIO:
            return _sounds(column, self.config)
        return _series(column) if self.type == SERIES else _bytes(column)


def read_wav(content: bytes, sample_rate_hz: int, count: int) -> Floats:
    """The first `count` samples at `sample_rate_hz` of a WAV file, float32 `(count,)`, -1 to 1, zeros at its
    end.

    Integers of 8, 16, 24 and 32 bits and floats of 32 and 64; channels are averaged.

    Raises:
        ValueError: it is no WAV file, is cut off, or holds no sound; says which.
    """
    from scipy.io import wavfile
    from scipy.signal import resample_poly

    try:
        with warnings.catch_warnings():
            # A file that ends early is a warning to scipy; chunks that it does not know are no matter.
            warnings.simplefilter("error", wavfile.WavFileWarning)
            warnings.filterwarnings("ignore", "Chunk .non-data. not understood")
            rate, samples = wavfile.read(io.BytesIO(content))
    # The reader of damaged files raises whatever it stumbles over.
    except Exception as error:
        raise ValueError(f"no WAV file that can be read: {' '.join(str(error).split())[:100]}") from error
    if not SLOWEST_HZ <= rate <= FASTEST_HZ:
        raise ValueError(f"sampled at {rate} Hz, which no sound is")
    # Twenty samples more at the slower rate, so that the end of the cut is filtered like the rest.
    samples = samples[: math.ceil((count + 20) * rate / sample_rate_hz) + 20]
    if not len(samples):
        raise ValueError("no samples")
    wave = _unit(samples.reshape(len(samples), -1)).mean(1)
    if not np.isfinite(wave).all():
        raise ValueError("samples that are no numbers")
    if rate != sample_rate_hz:
        common = math.gcd(rate, sample_rate_hz)
        wave = resample_poly(wave, sample_rate_hz // common, rate // common)
    whole = np.zeros(count, np.float32)
    whole[: min(len(wave), count)] = np.clip(wave[:count], -1, 1)
    return whole


def _unit(samples: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Samples as WAV files hold them, from -1 to 1. scipy gives 24 bits as the upper ones of 32."""
    if samples.dtype == np.uint8:
        return (samples - 128.0) / 128
    if samples.dtype.kind == "i":
        return samples / -float(np.iinfo(samples.dtype).min)
    return samples.astype(np.float64)


def _sounds(column: pa.ChunkedArray, config: SignalConfig) -> tuple[Floats, dict[int, str]]:
    count = round(max(config.seconds, SHORTEST_S) * config.sample_rate_hz)
    waves = np.zeros((len(column), count), np.float32)
    unreadable = {}
    for row, content in enumerate(column):
        try:
            if not content.is_valid:
                raise ValueError("no sound")
            waves[row] = read_wav(content.as_py(), config.sample_rate_hz, count)
        except ValueError as error:
            unreadable[row] = str(error)
    return waves, unreadable


def _series(column: pa.ChunkedArray) -> tuple[Floats, dict[int, str]]:
    lists = column.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = pc.cast(pc.list_flatten(lists), pa.float32(), safe=False)
    values = flat.to_numpy(zero_copy_only=False).astype(np.float64)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    broken = np.bincount(owner[~np.isfinite(values)], minlength=len(lengths)) > 0
    unreadable = {int(row): "no values" for row in np.flatnonzero(lengths == 0)}
    unreadable |= {int(row): "values that are missing or no numbers" for row in np.flatnonzero(broken)}
    longest = min(int(lengths.max(initial=1)), LONGEST_SERIES)
    stretched = _stretch(np.where(np.isfinite(values), values, 0.0), lengths, max(longest, 1))
    stretched[broken] = 0.0
    return stretched, unreadable


def _stretch(values: npt.NDArray[np.float64], lengths: npt.NDArray[np.int64], count: int) -> Floats:
    """Series that lie one after the other in `values`, each at `count` places from its first value to its
    last, linearly between them; an empty one is zeros. Those of `count` values are as they were.
    """
    if not len(values):
        return np.zeros((len(lengths), count), np.float32)
    starts = np.cumsum(lengths) - lengths
    last = np.maximum(lengths - 1, 0)
    places = last[:, None] * (np.arange(count) / max(count - 1, 1))
    before = np.minimum(places.astype(np.int64), last[:, None])
    after = np.minimum(before + 1, last[:, None])
    first = np.minimum(starts, len(values) - 1)[:, None]
    low, high = values[first + before], values[first + after]
    found = low + (high - low) * (places - before)
    found[lengths == 0] = 0.0
    result: Floats = found.astype(np.float32)
    return result


def _bytes(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.uint8], dict[int, str]]:
    contents = [(one.as_py() or b"")[:LONGEST_BYTES] for one in column]
    longest = max((len(one) for one in contents), default=0)
    padded = np.zeros((len(contents), max(longest, 1)), np.uint8)
    for row, content in enumerate(contents):
        padded[row, : len(content)] = np.frombuffer(content, np.uint8)
    return padded, {row: "no bytes" for row, content in enumerate(contents) if not content}
