"""Checkpoints, proofs and exports of a running service, checked by the command that an auditor has."""

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import sqlalchemy as sa
from boarfish.errors import from_rpc_error
from boarfish.v1 import monitoring_pb2, monitoring_pb2_grpc

from services.common.server import serving
from services.monitoring.__main__ import start
from services.monitoring.settings import MonitoringSettings

if TYPE_CHECKING:
    Stub = monitoring_pb2_grpc.MonitoringServiceAsyncStub

BOARFISH = str(Path(sys.executable).with_name("boarfish"))


class Shell:
    """The command, told where the service is."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address = address
        self._folder = folder

    async def __call__(self, *arguments: str, status: int = 0) -> str:
        environment = {**os.environ, "COLUMNS": "200", "BOARFISH_MONITORING_ADDRESS": self.address}
        done = await asyncio.to_thread(
            subprocess.run,
            [BOARFISH, "ledger", *arguments],
            env=environment,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr


@asynccontextmanager
async def service(home: Path) -> AsyncIterator[tuple["Stub", Shell]]:
    settings = MonitoringSettings(home=home, poll_interval_s=0.05, idle_interval_s=0.2, drain_s=1.0)
    async with serving("monitoring", "127.0.0.1:0", settings, start) as harness:
        address = f"127.0.0.1:{harness.port}"
        async with grpc.aio.insecure_channel(address) as channel:
            yield monitoring_pb2_grpc.MonitoringServiceStub(channel), Shell(address, home)


async def append(stub: "Stub", first: int, last: int) -> None:
    for number in range(first, last + 1):
        request = monitoring_pb2.AppendLedgerEntryRequest(
            request_id=f"r{number}",
            actor="Ada",
            action="model_version.approved",
            subject=f"versions/{number}",
        )
        request.details.update({"accuracy": 0.8, "note": "gut genug, sagt Ada: größer"})
        await stub.AppendLedgerEntry(request)


def touch(home: Path, *statements: str) -> None:
    engine = sa.create_engine(f"sqlite:///{home / 'monitoring.db'}")
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


async def test_export_prove_and_keep_as_an_auditor_would(tmp_path: Path) -> None:
    async with service(tmp_path) as (stub, boarfish):
        await append(stub, 1, 7)
        assert "Public key: boarfish-ledger+" in await boarfish("checkpoint", "kept.txt")
        await append(stub, 8, 12)
        assert "continues the 7 entries" in await boarfish("checkpoint", "kept.txt")
        assert "It holds: 12 entries" in await boarfish("export", "ledger.txt")
        await boarfish("prove", "5", "proof.json")
        with pytest.raises(grpc.aio.AioRpcError, match="no entry 13"):
            await stub.ProveLedgerEntry(monitoring_pb2.ProveLedgerEntryRequest(sequence=13))
        assert stat.S_IMODE((tmp_path / "ledger/key.pem").stat().st_mode) == 0o600
    # The service is gone: what was written is checked by itself.
    assert "It holds: 12 entries" in await boarfish("verify", "ledger.txt", "--checkpoint", "kept.txt")
    key = (tmp_path / "kept.txt").read_text().partition("\n")[0]
    assert "It holds: 1 entry" in await boarfish("verify", "proof.json", "--key", key)
    lines = (tmp_path / "ledger.txt").read_text().splitlines(keepends=True)
    (tmp_path / "ledger.txt").write_text("".join([*lines[:3], *lines[4:]]))
    assert "entry 4 was removed" in await boarfish("verify", "ledger.txt", "--json", status=1)


async def test_a_ledger_that_was_cut_off_while_the_service_was_down_is_not_signed(tmp_path: Path) -> None:
    async with service(tmp_path) as (stub, boarfish):
        await append(stub, 1, 9)
        await boarfish("checkpoint", "kept.txt")
    touch(tmp_path, "DELETE FROM ledger WHERE sequence > 6")
    async with service(tmp_path) as (stub, boarfish):
        # A chain that ends early is a chain still.
        assert (await stub.VerifyLedger(monitoring_pb2.VerifyLedgerRequest())).valid
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetLedgerCheckpoint(monitoring_pb2.GetLedgerCheckpointRequest())
        error = from_rpc_error(refused.value)
        assert error.reason == "LEDGER_NOT_CONTINUED"
        assert "9 entries were signed, and 6 are there" in error.message
        told = await boarfish("export", "ledger.txt", status=1)
        assert "entries 7 to 9 were cut off" in told


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_entry_that_was_altered_in_the_database_is_named_in_the_export(
    tmp_path: Path, restarted: bool
) -> None:
    async with service(tmp_path) as (stub, boarfish):
        await append(stub, 1, 6)
        await boarfish("checkpoint", "kept.txt")
        if not restarted:
            touch(tmp_path, "UPDATE ledger SET actor = 'Bob' WHERE sequence = 4")
            assert "entry 4 was altered" in await boarfish("export", "ledger.txt", status=1)
            with pytest.raises(grpc.aio.AioRpcError, match="entry 4 was altered"):
                await stub.ProveLedgerEntry(monitoring_pb2.ProveLedgerEntryRequest(sequence=4))
            return
    touch(tmp_path, "UPDATE ledger SET actor = 'Bob' WHERE sequence = 4")
    async with service(tmp_path) as (stub, boarfish):
        assert "entry 4 was altered" in await boarfish("export", "ledger.txt", status=1)
        with pytest.raises(grpc.aio.AioRpcError, match="not those that were signed"):
            await stub.GetLedgerCheckpoint(monitoring_pb2.GetLedgerCheckpointRequest())
