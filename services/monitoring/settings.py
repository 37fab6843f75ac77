"""Settings of the monitoring service, read once in its entry point."""

from pydantic import Field

from services.common.settings import Settings


class MonitoringSettings(Settings):
    """What every service reads, and how monitoring follows the lake."""

    poll_interval_s: float = Field(
        default=0.5,
        gt=0,
        le=60,
        description="Pause between looks at the lake while events are coming in, in seconds.",
    )
    idle_interval_s: float = Field(
        default=2.0,
        gt=0,
        le=300,
        description="Longest pause between looks at the lake when nothing new has come, in seconds.",
    )
    monitoring_batch_rows: int = Field(
        default=65_536,
        ge=1,
        le=1_000_000,
        description="Prediction rows, and label rows, that are counted in one transaction.",
    )
    appeal_due_days: int = Field(
        default=30,
        ge=1,
        le=3650,
        description="Days from an appeal's filing to the answer that is owed.",
    )
    watcher_limit: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="WatchAlerts streams that may be open at once; more are refused.",
    )
