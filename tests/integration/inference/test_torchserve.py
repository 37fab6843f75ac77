import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from boarfish.errors import Unavailable, from_rpc_error
from boarfish.v1 import inference_pb2

from services.inference.inputs import InputLayout
from services.inference.runtimes.onnx import OnnxRuntime
from services.inference.runtimes.torchserve import TorchServeRuntime
from services.inference.runtimes.torchserve_process import TorchServeProcess, find_java
from services.inference.settings import InferenceSettings
from tests.integration.inference.requests import (
    PERSON,
    TORCHSERVE,
    arrow_request,
    deployment_request,
    people,
    rows_request,
)
from tests.integration.inference.small_models import add_model, employment


async def until(condition: Callable[[], Any], within_s: float = 40.0) -> None:
    """Waits until `condition()` holds."""
    deadline = time.monotonic() + within_s
    while not (value := condition()) or (asyncio.iscoroutine(value) and not await value):
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.1)


def group_of(leader: int) -> list[psutil.Process]:
    """The processes of a group that are not gone."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, ProcessLookupError):
            continue
    return found


@pytest.fixture
async def torchserve(tmp_path: Path) -> AsyncIterator[TorchServeProcess]:
    """A TorchServe of its own."""
    process = TorchServeProcess(tmp_path / "torchserve")
    yield process
    await process.close()


async def test_it_answers_as_onnx_runtime_and_comes_back_after_it_was_killed_or_hung(
    torchserve: TorchServeProcess, tmp_path: Path
) -> None:
    model = add_model(tmp_path / "models", employment())
    layout = InputLayout(employment())
    await torchserve.add("peer", lambda: model.path_of("model.mar"))
    assert await torchserve.wait_ready("peer", 60), torchserve.status_of("peer")
    runtime = TorchServeRuntime(torchserve, "peer", layout)
    table = people(500)
    table = table.set_column(0, "AGEP", table["AGEP"].cast("float64")).combine_chunks()
    inputs = layout.from_batch(table.to_batches()[0])
    expected = OnnxRuntime(model.path_of("model.onnx"), layout).score(inputs)
    assert abs((await runtime.predict(inputs, 10)) - expected).max() < 1e-6

    first = torchserve.pid
    os.killpg(first, signal.SIGKILL)
    with pytest.raises(Unavailable):
        await runtime.predict(inputs, 5)
    await until(lambda: runtime.ready and torchserve.pid != first)
    assert abs((await runtime.predict(inputs, 10)) - expected).max() < 1e-6

    second = torchserve.pid
    workers = [one for one in group_of(second) if one.pid != second]
    assert workers
    os.kill(second, signal.SIGKILL)
    await until(lambda: not any(one.is_running() and one.status() != "zombie" for one in workers), 10)


async def test_a_damaged_archive_is_never_loaded(torchserve: TorchServeProcess, tmp_path: Path) -> None:
    model = add_model(tmp_path / "models", employment())
    with (model.path / "model.mar").open("ab") as file:
        file.write(b"?")
    await torchserve.add("peer", lambda: model.path_of("model.mar"))
    assert not await torchserve.wait_ready("peer", 60)
    assert "SHA-256" in torchserve.status_of("peer")
    assert not list((tmp_path / "torchserve" / "archives").glob("*.mar"))


async def test_nothing_is_left_when_the_service_is_killed(tmp_path: Path) -> None:
    model = add_model(tmp_path / "models", employment())
    script = (
        "import asyncio, sys, pathlib\n"
        "from services.inference.runtimes.torchserve_process import TorchServeProcess\n"
        "async def main():\n"
        f"    process = TorchServeProcess(pathlib.Path({str(tmp_path / 'torchserve')!r}))\n"
        f"    await process.add('peer', lambda: pathlib.Path({str(model.path / 'model.mar')!r}))\n"
        "    print(await process.wait_ready('peer', 60), process.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as service:
        assert service.stdout is not None
        ready, pid = (await asyncio.to_thread(service.stdout.readline)).split()
        assert ready == b"True"
        assert len(group_of(int(pid))) >= 2
        service.kill()
    await until(lambda: not group_of(int(pid)), 10)


async def test_the_shadow_is_computed_and_its_loss_costs_no_prediction(
    stub: Any, inference_settings: InferenceSettings
) -> None:
    champion = add_model(inference_settings.models_path, employment(), 1)
    shadow = add_model(inference_settings.models_path, employment(), 2)
    made = (await stub.CreateDeployment(deployment_request(champion.id, shadow.id))).deployment
    assert made.shadow.ready, made.shadow.status

    async def requests(count: int) -> AsyncIterator[inference_pb2.PredictStreamRequest]:
        for _ in range(count):
            yield inference_pb2.PredictStreamRequest(request=arrow_request(people(190)))

    async for _ in stub.PredictStream(requests(100)):
        pass

    async def shown() -> inference_pb2.Deployment:
        return (await stub.GetDeployment(inference_pb2.GetDeploymentRequest(name="employment"))).deployment

    async def all_written() -> bool:
        return (await shown()).pending_event_count == 2 * 19_000

    await until(all_written)
    assert (await shown()).shadow_dropped_count == 0

    pid = int((inference_settings.torchserve_path / "torchserve.pid").read_text().split()[0])
    os.killpg(pid, signal.SIGKILL)
    for _ in range(20):
        assert (await stub.Predict(rows_request(PERSON))).predictions[0].prediction_id
    now = await shown()
    assert now.prediction_count == 19_020
    await until(lambda: _dropped(shown))
    assert not (await shown()).shadow.ready or (await shown()).shadow_dropped_count


async def _dropped(shown: Callable[[], Any]) -> bool:
    return bool((await shown()).shadow_dropped_count >= 1)


async def test_torchserve_as_champion_and_down_is_unavailable_in_time(
    stub: Any, inference_settings: InferenceSettings
) -> None:
    model = add_model(inference_settings.models_path, employment())
    made = await stub.CreateDeployment(deployment_request(model.id, runtime=TORCHSERVE))
    assert made.deployment.champion.ready
    assert (await stub.Predict(rows_request(PERSON))).runtime == TORCHSERVE
    pid = int((inference_settings.torchserve_path / "torchserve.pid").read_text().split()[0])
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Predict(rows_request(PERSON), timeout=2.0)
    assert time.monotonic() - began < 3.0
    assert isinstance(from_rpc_error(caught.value), Unavailable)
    os.killpg(pid, signal.SIGKILL)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Predict(rows_request(PERSON), timeout=2.0)
    assert isinstance(from_rpc_error(caught.value), Unavailable)


def test_java_is_found_without_one_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = find_java()
    assert Path(found).is_file()
    assert (
        "17" in subprocess.run([found, "-version"], capture_output=True, text=True, check=True).stderr
        or found
    )
