"""The contract: stubs are what the protos give, breaking changes are found, names follow the rules."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from boarfish.v1 import inference_pb2, ingestion_pb2, monitoring_pb2, training_pb2

ROOT = Path(__file__).resolve().parents[2]
MODULES = (ingestion_pb2, training_pb2, inference_pb2, monitoring_pb2)
CHANGING = (
    "Create",
    "Promote",
    "Rollback",
    "Record",
    "Cancel",
    "Acknowledge",
    "Run",
    "File",
    "Take",
    "Resolve",
    "Append",
    "Log",
    "Upload",
)


def generate(protos: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(protos / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=protos)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(
            ROOT / "protos", tmp_path / "protos", ignore=shutil.ignore_patterns("build", "*.egg-info")
        )
    )


def test_committed_stubs_are_current_and_the_contract_passes_lint():
    assert generate(ROOT / "protos", "--check").returncode == 0
    linted = generate(ROOT / "protos", "--lint")
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_a_changed_field_number_is_found_by_both_checks(copied):
    proto = copied / "boarfish" / "v1" / "common.proto"
    proto.write_text(proto.read_text().replace("uint64 count = 5;", "uint64 count = 9;"))
    broken = generate(copied, "--lint")
    assert broken.returncode != 0
    assert 'field "5" with name "count"' in broken.stdout + broken.stderr
    stale = generate(copied, "--check")
    assert stale.returncode == 1
    assert "common_pb2.py is not what its proto gives" in stale.stdout


def test_a_name_against_the_rules_is_found(copied):
    proto = copied / "boarfish" / "v1" / "common.proto"
    proto.write_text(proto.read_text() + "\nmessage bad_name {}\n")
    assert "bad_name" in generate(copied, "--lint").stdout


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.DESCRIPTOR.name.split("/")[-1])
def test_every_rpc_has_messages_of_its_own_and_changes_carry_a_request_id(module):
    for service in module.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            assert method.input_type.name == f"{method.name}Request"
            assert method.output_type.name == f"{method.name}Response"
            if method.name.startswith(CHANGING) and method.name != "LogPredictions":
                assert "request_id" in method.input_type.fields_by_name


SAME = """
import json, sys
if sys.argv[1] == "ours":
    from inference import open_inference_pb2 as module
else:
    from tritonclient.grpc import service_pb2 as module
wanted = {}
def note(message):
    wanted[message.full_name] = sorted((f.name, f.number, f.type, f.is_repeated) for f in message.fields)
    for inner in message.nested_types:
        note(inner)
for message in module.DESCRIPTOR.message_types_by_name.values():
    note(message)
print(json.dumps(wanted))
"""


def test_the_open_inference_protocol_is_that_of_its_clients():
    import json

    found = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", SAME, who], capture_output=True, text=True, check=True
            ).stdout
        )
        for who in ("ours", "theirs")
    ]
    ours, theirs = found
    assert "inference.ModelInferRequest" in ours
    for message, fields in ours.items():
        assert message in theirs
        assert all(field in theirs[message] for field in fields), message
