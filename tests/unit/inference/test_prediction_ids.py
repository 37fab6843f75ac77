import uuid

import numpy as np

from services.inference.prediction_ids import PredictionIds, text, texts


def test_ids_are_uuids_of_version_7_in_increasing_order() -> None:
    ids = PredictionIds()
    made = [text(ids.one()) for _ in range(3)]
    made += texts(ids.many(5000)).to_pylist()
    made.append(text(ids.one()))
    assert made == sorted(set(made))
    parsed = [uuid.UUID(one) for one in made]
    assert {one.version for one in parsed} == {7}
    assert {one.variant for one in parsed} == {uuid.RFC_4122}


def test_single_and_bulk_text_agree() -> None:
    many = PredictionIds().many(100)
    assert texts(many).to_pylist() == [text(row.tobytes()) for row in many]


def test_time_stands_in_the_first_48_bits() -> None:
    import time

    identity = uuid.UUID(text(PredictionIds().one()))
    assert abs((identity.int >> 80) - time.time() * 1000) < 1000
    assert texts(np.zeros((0, 16), np.uint8)).to_pylist() == []
