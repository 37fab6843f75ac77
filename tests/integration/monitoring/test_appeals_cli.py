"""`boarfish appeals` and `boarfish deployments gate` against real monitoring and ingestion."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from boarfish import AsyncClient

from services.common.server import serving
from services.common.settings import Settings
from services.ingestion.__main__ import start as start_ingestion
from services.ingestion.settings import IngestionSettings
from services.monitoring.__main__ import start as start_monitoring
from services.monitoring.settings import MonitoringSettings
from tests.integration.monitoring.made_lake import CHAMPION, DEPLOYMENT, SHADOW, MadeLake, task
from tests.integration.monitoring.test_service import counted, until

BOARFISH = str(Path(sys.executable).with_name("boarfish"))


async def boarfish(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "COLUMNS": "200",
        "BOARFISH_MONITORING_ADDRESS": settings.monitoring_address,
        "BOARFISH_INGESTION_ADDRESS": settings.ingestion_address,
    }
    command = [BOARFISH, *arguments]
    return await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


async def said(settings: Settings, *arguments: str) -> str:
    """What a command that is done has printed."""
    done = await boarfish(settings, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_an_appeal_is_filed_taken_and_upheld_from_a_shell(tmp_path: Path, settings: Settings) -> None:
    made = task()
    made.gates.add(rung="full", maximum_open_appeals=0)
    lake = MadeLake(tmp_path / "lake", made_task=made)
    lake.add_reference(CHAMPION, SHADOW)
    lake.add_days(0, 1, count=40)
    shared = {"home": tmp_path, "drain_s": 1.0}
    watching = MonitoringSettings(**shared, poll_interval_s=0.05, idle_interval_s=0.2)
    async with (
        serving("monitoring", settings.monitoring_address, watching, start_monitoring),
        serving("ingestion", settings.ingestion_address, IngestionSettings(**shared), start_ingestion),
        AsyncClient(settings.ingestion_address, monitoring=settings.monitoring_address) as client,
    ):
        await until(client.monitoring, counted(40))
        person = lake.ids[0][0]
        filed = json.loads(
            await said(settings, "appeals", "file", person, "--statement", "I did repay.", "--json")
        )
        identity = filed["id"]
        assert identity in await said(settings, "appeals", "list")
        shut = await boarfish(settings, "deployments", "gate", DEPLOYMENT, "--rung", "full")
        assert shut.returncode == 1
        assert "Appeals that are not answered: 1; at most 0 are allowed." in shut.stdout
        shown = await said(settings, "appeals", "show", identity)
        assert "I did repay." in shown
        assert f"Decided 2020-03-02: {filed['decision']}" in shown
        taken = await said(settings, "appeals", "take", identity, "--by", "Rosa", "--role", "clerk")
        assert "is in review, by Rosa" in taken
        label = "0" if filed["decision"] == "grant" else "1"
        words = ("--by", "Rosa", "--answer", "You are right.")
        wrong = await boarfish(settings, "appeals", "uphold", identity, *words, "--label", "maybe")
        assert wrong.returncode == 2
        assert "corrected_label" in wrong.stderr
        upheld = await said(settings, "appeals", "uphold", identity, *words, "--label", label)
        assert "is upheld, by Rosa" in upheld
        await until(client.monitoring, counted(40, 1))
        assert "No appeal waits" in await said(settings, "appeals", "list")
        assert "1 of 40 decisions was appealed" in await said(settings, "appeals", "statistics", DEPLOYMENT)
        passed = await said(settings, "deployments", "gate", DEPLOYMENT, "--rung", "full")
        assert "The gate to full: pass" in passed
        answered = await boarfish(settings, "appeals", "reject", identity, *words)
        assert answered.returncode == 2
        assert "was upheld" in answered.stderr
        async with asyncio.timeout(30):
            while "No corrected label is missing." not in await said(settings, "appeals", "deliver"):
                await asyncio.sleep(0.1)
