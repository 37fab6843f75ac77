"""Pretrained weights by name."""

import pytest
from boarfish import errors

from services.common.model_store import ModelStore
from services.training.weights import find_weights


def test_a_file_in_the_folder_is_found(tmp_path):
    (tmp_path / "body.pth").write_bytes(b"weights")
    assert find_weights("body.pth", ModelStore(tmp_path / "models"), tmp_path) == tmp_path / "body.pth"


def test_what_is_not_there_is_said_with_what_is(tmp_path):
    (tmp_path / "other.pth").write_bytes(b"weights")
    with pytest.raises(errors.NotFound, match=r"put the file into .*it has other\.pth"):
        find_weights("body.pth", ModelStore(tmp_path / "models"), tmp_path)


def test_an_id_that_no_version_has_is_said(tmp_path):
    with pytest.raises(errors.NotFound, match="no model version"):
        find_weights("0123456789abcdef", ModelStore(tmp_path / "models"), tmp_path / "none")
