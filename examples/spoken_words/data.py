"""The prompts of the Asterisk telephone exchange, spoken in five languages, as the WAV files that they are.

Each prompt has the same name in every language, so that a split by name has no sentence on both sides.
Source: the Debian packages `asterisk-core-sounds-{en,es,fr,it,ru}-wav` (CC BY-SA 3.0; Russian CC BY 3.0).
"""

import io
import wave

import numpy as np
import pyarrow as pa

from examples.sources import Package, package_files

LANGUAGES = {"en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "ru": "Russian"}
FOLDER = "usr/share/asterisk/sounds/"
# Shorter ones are tones and pauses rather than words.
SHORTEST_S = 0.4
# The rest of a long prompt is left out: one second of it is looked at.
KEPT_S = 2.0


def table(share: float = 1.0) -> pa.Table:
    """A row a prompt and language. Of a share below 1, about that share of the prompts."""
    rows = [row for code in LANGUAGES for row in _prompts(code)]
    names = sorted({name for name, _, _ in rows})
    kept = set(np.random.default_rng(0).permutation(names)[: max(round(share * len(names)), 40)].tolist())
    rows = [row for row in rows if row[0] in kept]
    return pa.table(
        {
            "id": [f"{code}/{name}" for name, code, _ in rows],
            "prompt": [name for name, _, _ in rows],
            "language": [LANGUAGES[code] for _, code, _ in rows],
            "sound": pa.array([sound for _, _, sound in rows], pa.binary()),
        }
    )


def _prompts(code: str) -> list[tuple[str, str, bytes]]:
    """Name, language and sound of each prompt, without what is no speech."""
    found = []
    for path, content in package_files(
        Package("debian", f"asterisk-core-sounds-{code}-wav"), f"{FOLDER}*.wav"
    ):
        # The first folder is the speaker's.
        name = path.removeprefix(FOLDER).split("/", 1)[1].removesuffix(".wav")
        if name.startswith("silence/"):
            continue
        sound = _beginning(content)
        if sound is not None:
            found.append((name, code, sound))
    return sorted(found)


def _beginning(content: bytes) -> bytes | None:
    """The first seconds as a WAV file; `None` for what is too short."""
    with wave.open(io.BytesIO(content)) as sound:
        if sound.getnframes() < SHORTEST_S * sound.getframerate():
            return None
        settings, frames = sound.getparams(), sound.readframes(round(KEPT_S * sound.getframerate()))
    file = io.BytesIO()
    with wave.open(file, "wb") as cut:
        cut.setparams(settings)
        cut.writeframes(frames)
    return file.getvalue()
