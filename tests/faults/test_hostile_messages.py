"""Random bytes and messages with random content, to every RPC of the four real services: each is answered.

`BOARFISH_FUZZED_MESSAGES` sets how many messages each RPC gets (40 by default; 10,000 for the long run).
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import psutil
import pytest
from boarfish.v1 import inference_pb2, ingestion_pb2, monitoring_pb2, training_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.settings import SERVICES, Settings
from services.supervisor import Suite

pytestmark = pytest.mark.timeout(1800)

MESSAGES = int(os.environ.get("BOARFISH_FUZZED_MESSAGES", "40"))
MODULES: dict[str, Any] = {
    "ingestion": ingestion_pb2,
    "training": training_pb2,
    "inference": inference_pb2,
    "monitoring": monitoring_pb2,
}
TEXTS = ("", "employment", "x" * 300, "\0", "é", "../../etc/passwd", "[", "1e400", "0" * 64)
NUMBERS = (0, 1, 5, 1000, 2**31 - 1)
FLOATS = (0.0, -1.0, float("nan"), float("inf"), 1e308, 0.5)
NOT_FORESEEN = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Suite, Settings]]:
    from tests.story import environment_for

    environment, addresses = environment_for(tmp_path_factory.mktemp("hostile") / "home")
    settings = Settings(
        home=environment["BOARFISH_HOME"],
        **{f"{name}_address": address for name, address in addresses.items()},
        **{f"{name}_metrics_address": "" for name in SERVICES},
    )
    with Suite(settings) as running:
        yield running, settings


def random_value(field: FieldDescriptor, rng: random.Random) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return rng.choice(TEXTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return rng.randbytes(rng.choice((0, 5, 50)))
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return rng.choice(FLOATS)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return rng.choice((0, 1, 2, 99))
    return rng.choice(NUMBERS)


def random_message(descriptor: Any, rng: random.Random, depth: int = 0) -> Any:
    """A message whose fields are filled at random, wrong ones included."""
    message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if depth > 4 or (depth and rng.random() < 0.4):
            continue
        count = rng.choice((0, 1, 3))
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        if field.message_type is not None and field.is_repeated:
            parts = [random_message(field.message_type, rng, depth + 1) for _ in range(count)]
            getattr(message, field.name).extend(parts)
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(random_message(field.message_type, rng, depth + 1))
        elif field.is_repeated:
            getattr(message, field.name).extend([random_value(field, rng) for _ in range(count)])
        else:
            setattr(message, field.name, random_value(field, rng))
    return message


def send(channel: grpc.Channel, path: str, method: Any, data: bytes) -> None:
    if method.client_streaming and method.server_streaming:
        list(channel.stream_stream(path)(iter([data]), timeout=20))
    elif method.client_streaming:
        channel.stream_unary(path)(iter([data]), timeout=20)
    elif method.server_streaming:
        list(channel.unary_stream(path)(data, timeout=20))
    else:
        channel.unary_unary(path)(data, timeout=20)


def is_serving(channel: grpc.Channel) -> bool:
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    return answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("name", SERVICES)
def test_every_rpc_refuses_what_it_cannot_take(suite, name):
    running, settings = suite
    rng = random.Random(7)
    pid = running.pid(name)
    codes: Counter[str] = Counter()
    unforeseen = []
    with grpc.insecure_channel(settings.address(name)) as channel:
        for service in MODULES[name].DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if method.name.startswith("Watch"):
                    continue
                for number in range(MESSAGES):
                    whole = number % 3
                    data = (
                        random_message(method.input_type, rng).SerializeToString()
                        if whole
                        else rng.randbytes(40)
                    )
                    try:
                        send(channel, f"/{service.full_name}/{method.name}", method, data)
                        codes["OK"] += 1
                    except grpc.RpcError as error:
                        codes[error.code().name] += 1
                        if error.code() in NOT_FORESEEN:
                            unforeseen.append((method.name, error.code().name, error.details()))
        assert is_serving(channel)
    assert not unforeseen
    assert codes["INVALID_ARGUMENT"] > 0
    assert running.pid(name) == pid


@pytest.mark.parametrize("name", SERVICES)
def test_a_message_of_100_mb_is_refused_and_leaves_no_memory_behind(suite, name):
    running, settings = suite
    process = psutil.Process(running.pid(name))
    before = process.memory_info().rss
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(settings.address(name), options=options) as channel:
        service = next(iter(MODULES[name].DESCRIPTOR.services_by_name.values()))
        method = next(one for one in service.methods if not (one.client_streaming or one.server_streaming))
        with pytest.raises(grpc.RpcError) as refused:
            send(channel, f"/{service.full_name}/{method.name}", method, bytes(100_000_000))
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert is_serving(channel)
    assert process.memory_info().rss - before < 64 * 2**20
