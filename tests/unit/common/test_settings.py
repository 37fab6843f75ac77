"""Settings: read from the environment, frozen, refused with the variable's name."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.common.settings import Settings, read_settings


def test_defaults_are_those_of_the_readme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    assert settings.home == tmp_path / ".boarfish"
    assert settings.address("inference") == "127.0.0.1:50053"
    assert settings.metrics_address("monitoring") == "127.0.0.1:50154"
    assert settings.database("training") == f"sqlite:///{tmp_path}/.boarfish/training.db"


def test_every_field_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_a_child_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path, ingestion_address="[::1]:7000", monitoring_metrics_address="", drain_s=1.5
    )
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_they_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().drain_s = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("address", ["localhost", ":50051", "127.0.0.1:port", "127.0.0.1:70000", ""])
def test_a_wrong_address_is_named(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOARFISH_TRAINING_ADDRESS", address)
    with pytest.raises(SystemExit) as ended:
        read_settings(Settings)
    assert ended.value.code == 2
    assert f"BOARFISH_TRAINING_ADDRESS is {address!r}" in capsys.readouterr().err
