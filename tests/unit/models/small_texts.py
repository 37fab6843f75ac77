"""Texts that a small model can learn from in a second, and the problems that they pose."""

import numpy as np
import pyarrow as pa

from models.configs import AwdLstmConfig, FitConfig
from models.recipe import BINARY, LANGUAGE, MULTICLASS, Input, Problem, Target

GOOD = ("good", "great", "fine")
BAD = ("bad", "poor", "awful")
THINGS = ("film", "book", "song", "play")

TEXT = (Input("text", "text"),)
OPINION = Problem(BINARY, TEXT, Target(("opinion",), "yes", "no"), "accuracy", id_column="id")
TOPIC = Problem(MULTICLASS, TEXT, Target(("topic",), classes=THINGS), "accuracy", id_column="id")
WRITING = Problem(LANGUAGE, TEXT, Target(), "perplexity", id_column="id")

ENCODER = AwdLstmConfig(
    embedding_size=12, hidden_size=16, sequence_length=8, minimum_count=1, dropout_scale=0.2
)
FIT = FitConfig(epochs=4, batch_size=16, learning_rate=0.03)


def opinions(count: int, *, seed: int = 0) -> pa.Table:
    """Sentences such as "The film was very very very good!", with what they praise or blame."""
    generator = np.random.default_rng(seed)
    good, thing = generator.integers(0, 2, count), generator.integers(0, len(THINGS), count)
    words = [(GOOD if one else BAD)[generator.integers(0, 3)] for one in good]
    stresses = [("", "very ", "very very very ")[one] for one in generator.integers(0, 3, count)]
    return pa.table(
        {
            "id": [f"t{row}" for row in range(count)],
            "text": [
                f"The {THINGS[one]} was {stress}{word}{'!!!' if stress else '.'}"
                for one, stress, word in zip(thing, stresses, words, strict=True)
            ],
            "opinion": ["yes" if one else "no" for one in good],
            "topic": [THINGS[one] for one in thing],
        }
    )
