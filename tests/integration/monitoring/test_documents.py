"""Documents of a running service, written by the command: HTML, JSON, Markdown and PDF."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from boarfish.v1 import monitoring_pb2, monitoring_pb2_grpc

from services.common.server import serving
from services.monitoring.__main__ import start
from services.monitoring.settings import MonitoringSettings
from tests.integration.monitoring.made_lake import CHAMPION, DEPLOYMENT, SHADOW, MadeLake

BOARFISH = str(Path(sys.executable).with_name("boarfish"))
KINDS = (
    *("datasheet", "model_card", "ethics_checklist"),
    *("data_project_checklist", "bias_audit", "technical_documentation"),
)


async def run(*arguments: str, port: int, status: int = 0, **environment: str) -> str:
    told = {**os.environ, "COLUMNS": "200", "BOARFISH_MONITORING_ADDRESS": f"127.0.0.1:{port}", **environment}
    done = await asyncio.to_thread(
        subprocess.run,
        [BOARFISH, "audit", "documents", *arguments],
        env=told,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


async def test_every_document_is_written_from_what_was_predicted(tmp_path: Path) -> None:
    lake = MadeLake(tmp_path / "lake")
    lake.add_reference(CHAMPION, SHADOW)
    lake.add_days(0, 30, unfair=True)
    lake.add_labels(0, 30)
    settings = MonitoringSettings(home=tmp_path, poll_interval_s=0.05, idle_interval_s=0.2, drain_s=1.0)
    async with (
        serving("monitoring", "127.0.0.1:0", settings, start) as harness,
        grpc.aio.insecure_channel(f"127.0.0.1:{harness.port}") as channel,
    ):
        stub = monitoring_pb2_grpc.MonitoringServiceStub(channel)
        async with asyncio.timeout(60):
            while True:
                health = (await stub.GetHealth(monitoring_pb2.GetHealthRequest())).deployments
                if health and health[0].labelled_count == 6000 and not health[0].backlog_count:
                    break
                await asyncio.sleep(0.05)
        papers = tmp_path / "papers"
        told = await run(DEPLOYMENT, "--output", str(papers), port=harness.port)
        assert "Open questions" in told
        for kind in KINDS:
            assert (papers / f"{kind}.html").read_text().startswith("<!doctype html>")
            content = json.loads((papers / f"{kind}.json").read_text())
            assert len(content["sections"]) >= 2
        card = (papers / "model_card.md").read_text()
        assert card.startswith("---\n")
        assert "female" in card
        toolkit = json.loads((papers / "model_card.toolkit.json").read_text())
        slices = {one["slice"] for one in toolkit["quantitative_analysis"]["performance_metrics"]}
        assert {"female", "male"} <= slices
        assert "female" in (papers / "bias_audit.html").read_text()

        only = ("--kind", "ethics_checklist", "--output", str(papers), "--pdf")
        await run(DEPLOYMENT, *only, port=harness.port)
        assert (papers / "ethics_checklist.pdf").read_bytes().startswith(b"%PDF")
        lacking = await run(DEPLOYMENT, *only, port=harness.port, status=2, PATH="/nowhere")
        assert "no Chromium or Chrome here" in lacking
        assert "there is no document 'x'" in await run(DEPLOYMENT, "--kind", "x", port=harness.port, status=2)

        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.WriteDocument(
                monitoring_pb2.WriteDocumentRequest(
                    deployment="nobody", kind=monitoring_pb2.DOCUMENT_KIND_DATASHEET
                )
            )
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND
