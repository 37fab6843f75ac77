"""The `boarfish` command without services and with wrong input; the tests of the story use it for real."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

BOARFISH = str(Path(sys.executable).with_name("boarfish"))
ROW = "examples/employment/row.json"
LEAVES = [
    *(
        ["status"],
        ["predict"],
        ["train", "start"],
        ["train", "watch"],
        ["train", "list"],
        ["train", "cancel"],
    ),
    *(
        ["models", "list"],
        ["models", "show"],
        ["task", "check"],
        ["deployments", "list"],
        ["deployments", "gate"],
        ["datasets", "list"],
    ),
    *(
        ["appeals", one]
        for one in ("file", "list", "show", "take", "uphold", "reject", "deliver", "statistics")
    ),
    *(["datasets", one] for one in ("create", "put", "amend", "get", "versions")),
    *(
        ["alerts", "list"],
        ["alerts", "acknowledge"],
        *(["audit", one] for one in ("run", "show", "list", "documents")),
    ),
    *(["ledger", one] for one in ("verify", "list", "export", "checkpoint", "prove")),
]


@pytest.fixture
def nowhere(free_port) -> dict[str, str]:
    """An environment whose services do not answer."""
    names = ("INGESTION", "TRAINING", "INFERENCE", "MONITORING")
    return {
        **os.environ,
        "COLUMNS": "200",
        **{f"BOARFISH_{name}_ADDRESS": f"127.0.0.1:{free_port()}" for name in names},
    }


def run(*arguments: str, env: dict[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BOARFISH, *arguments], env=env, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("command", LEAVES, ids=" ".join)
def test_every_command_explains_itself_with_an_example_and_knows_json(command, nowhere):
    shown = run(*command, "--help", env=nowhere)
    assert shown.returncode == 0
    assert "Example" in shown.stdout
    assert "--json" in shown.stdout


def test_help_is_there_at_once(nowhere):
    began = time.monotonic()
    run("--help", env=nowhere)
    assert time.monotonic() - began < 3.0


@pytest.mark.parametrize(
    "command",
    [
        *(
            ["status"],
            ["deployments", "list"],
            ["datasets", "list"],
            ["models", "list"],
            ["ledger", "verify"],
        ),
        *(["audit", "run", "x"], ["predict", "x", "--input", ROW]),
        ["train", "start", "examples/employment/task.yaml", "--dataset", "x"],
    ],
    ids=" ".join,
)
def test_where_no_service_answers_it_says_what_to_do(command, nowhere):
    done = run(*command, env=nowhere)
    assert done.returncode == 3
    assert "Nothing answers at 127.0.0.1:" in done.stderr
    assert "make run" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("stdin", "said"),
    [
        ("{", "is not JSON"),
        ("3", "must hold an object"),
        ("[]", "must hold an object"),
        ("[1]", "must hold an object"),
        ("", "is not JSON"),
    ],
)
def test_input_that_is_no_row_is_refused_before_any_call(stdin, said, nowhere):
    done = run("predict", "x", "--input", "-", env=nowhere, stdin=stdin)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_file_that_is_not_there_is_named(nowhere):
    done = run("predict", "x", "--input", "/nowhere.json", env=nowhere)
    assert done.returncode == 2
    assert "/nowhere.json cannot be read" in done.stderr


def test_a_task_file_is_checked_without_any_service(nowhere, tmp_path):
    assert run("task", "check", "examples/employment/task.yaml", env=nowhere).returncode == 0
    wrong = tmp_path / "task.yaml"
    wrong.write_text(
        Path("examples/employment/task.yaml").read_text().replace("type: numeric", "type: nmber")
    )
    done = run("task", "check", str(wrong), env=nowhere)
    assert done.returncode == 2
    assert "did you mean numeric?" in done.stderr


def test_the_wheel_of_the_package_holds_what_apps_need_and_no_more(tmp_path):
    import zipfile

    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(tmp_path),
    ]
    subprocess.run([*command, "./protos"], check=True, capture_output=True, timeout=120)
    [wheel] = tmp_path.glob("boarfish-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "boarfish/client.py",
        "boarfish/py.typed",
        "boarfish/v1/task_pb2.py",
        "inference/open_inference_pb2.py",
    ):
        assert needed in names
    assert not [name for name in names if "generate" in name or "test" in name]
