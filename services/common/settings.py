"""What a process can be told from outside: frozen settings, read once at its entry point.

Every field is an environment variable with the prefix `BOARFISH_` (`BOARFISH_HOME`,
`BOARFISH_INGESTION_ADDRESS`). A service adds fields of its own by a subclass in
`services/<name>/settings.py`.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SERVICES = ("ingestion", "training", "inference", "monitoring")
MIB = 1024 * 1024


def _host_and_port(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError('must be "host:port" with a port from 0 to 65535, such as 127.0.0.1:50051')
    return address


def _host_and_port_or_nothing(address: str) -> str:
    return address and _host_and_port(address)


Address = Annotated[str, AfterValidator(_host_and_port)]
OptionalAddress = Annotated[str, AfterValidator(_host_and_port_or_nothing)]


class Settings(BaseSettings):
    """Settings that every service has."""

    model_config = SettingsConfigDict(env_prefix="BOARFISH_", frozen=True, extra="ignore")

    home: Path = Field(default=Path(".boarfish"), description="Folder that holds all state.")
    ingestion_address: Address = Field(
        default="127.0.0.1:50051", description="Where ingestion listens and is called."
    )
    training_address: Address = Field(
        default="127.0.0.1:50052", description="Where training listens and is called."
    )
    inference_address: Address = Field(
        default="127.0.0.1:50053", description="Where inference listens and is called."
    )
    monitoring_address: Address = Field(
        default="127.0.0.1:50054", description="Where monitoring listens and is called."
    )
    dashboards_address: Address = Field(default="127.0.0.1:8501", description="Where the dashboards listen.")
    ingestion_metrics_address: OptionalAddress = Field(
        default="127.0.0.1:50151", description="Prometheus metrics; empty: off."
    )
    training_metrics_address: OptionalAddress = Field(
        default="127.0.0.1:50152", description="Prometheus metrics; empty: off."
    )
    inference_metrics_address: OptionalAddress = Field(
        default="127.0.0.1:50153", description="Prometheus metrics; empty: off."
    )
    monitoring_metrics_address: OptionalAddress = Field(
        default="127.0.0.1:50154", description="Prometheus metrics; empty: off."
    )
    database_url: str = Field(
        default="", description="SQLAlchemy URL; empty: an SQLite file for each service under home."
    )
    max_message_bytes: int = Field(
        default=65 * MIB, ge=MIB, description="Largest gRPC message taken or sent, in bytes."
    )
    default_deadline_s: float = Field(
        default=60.0, gt=0, description="Deadline of a unary call whose caller set none, in seconds."
    )
    max_concurrent_calls: int = Field(
        default=1024,
        ge=1,
        description="Unary calls, and again streams, in hand at once; more hear RESOURCE_EXHAUSTED.",
    )
    drain_s: float = Field(
        default=10.0,
        ge=0,
        description="How long calls in flight may finish when a service stops, in seconds.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least severe log line kept."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="JSON lines, or lines for people."
    )
    otlp_endpoint: str = Field(
        default="", description="gRPC endpoint of an OpenTelemetry collector; empty: tracing is off."
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @property
    def lake_path(self) -> Path:
        """The lake's root folder."""
        return self.home / "lake"

    @property
    def models_path(self) -> Path:
        """The model store's root folder."""
        return self.home / "models"

    @property
    def spool_path(self) -> Path:
        """Where inference keeps events until ingestion has acknowledged them."""
        return self.home / "spool"

    @property
    def mlflow_path(self) -> Path:
        """Folder of MLflow's artifacts; its database lies beside it (`mlflow.db`)."""
        return self.home / "mlflow"

    @property
    def logs_path(self) -> Path:
        """Where the supervisor keeps each process's log."""
        return self.home / "logs"

    def address(self, name: str) -> str:
        """Address of a service or of the dashboards."""
        return str(getattr(self, f"{name}_address"))

    def metrics_address(self, name: str) -> str:
        """Where a service shows its metrics; empty when it does not."""
        return str(getattr(self, f"{name}_metrics_address"))

    def database(self, name: str) -> str:
        """SQLAlchemy URL of a service's database."""
        return self.database_url or f"sqlite:///{self.home / name}.db"

    def environment(self) -> dict[str, str]:
        """These settings as environment variables, for a child process that is to read the same."""
        values = self.model_dump(mode="json")
        return {
            f"BOARFISH_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
        }


SettingsT = TypeVar("SettingsT", bound=Settings)


def read_settings(kind: type[SettingsT]) -> SettingsT:
    """Settings of `kind` from the environment, for entry points: a wrong one ends the process by its name."""
    try:
        return kind()
    except ValidationError as error:
        for problem in error.errors():
            name = "BOARFISH_" + "_".join(str(part) for part in problem["loc"]).upper()
            print(f"{name} is {problem['input']!r}: {problem['msg']}", file=sys.stderr)
        sys.exit(2)
