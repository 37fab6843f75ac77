"""The commands: `boarfish status`, `predict`, and the groups below them."""

import json
import sys
import uuid
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from boarfish.cli import appeals, audits, datasets, ledger, training
from boarfish.cli.options import AsJson, client
from boarfish.cli.output import BAD_ANSWER, console, day, fail, number, print_json, print_table

app = typer.Typer(
    name="boarfish",
    help="Put a model into the world responsibly: train, serve, watch and audit it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
deployments = typer.Typer(help="What serves under which name.", no_args_is_help=True)
alerts = typer.Typer(help="What needs a person.", no_args_is_help=True)
app.add_typer(training.train, name="train")
app.add_typer(training.models, name="models")
app.add_typer(training.task, name="task")
app.add_typer(deployments, name="deployments")
app.add_typer(datasets.datasets, name="datasets")
app.add_typer(alerts, name="alerts")
app.add_typer(appeals.appeals, name="appeals")
app.add_typer(audits.audit, name="audit")
app.add_typer(ledger.ledger, name="ledger")


@app.command(epilog="Example: boarfish status --json")
def status(as_json: AsJson = False) -> None:
    """How every deployment is doing, in one glance."""
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        answer = boarfish.monitoring.GetHealth(monitoring_pb2.GetHealthRequest())
    if as_json:
        print_json(answer)
        return
    for health in answer.deployments:
        console.print(f"[bold]{health.deployment}[/] {escape(health.summary)}")
        console.print(
            f"  version {health.model_version[:12]}, clock {day(health.watermark)}, "
            f"{health.open_alert_count} open alerts"
        )
        console.print(
            f"  {health.prediction_count:,} people predicted, {health.labelled_count:,} labels, "
            f"{health.backlog_count:,} waiting"
        )
        console.print(
            f"  accuracy {number(health.overall_quality.accuracy, 100, ' %')}, at training "
            f"{number(health.reference_quality.accuracy, 100, ' %')}"
        )
    if not answer.deployments:
        console.print("Nothing has been predicted yet. `make run` plays a story on real data.")


@app.command(
    epilog="Examples: boarfish predict employment --input row.json --at 2018-12-31; "
    "echo '{\"AGEP\": 41, ...}' | boarfish predict employment --input - --json"
)
def predict(
    deployment: Annotated[str, typer.Argument(help="Name of the deployment.")],
    input_: Annotated[
        str, typer.Option("--input", help="JSON file with a row or a list of rows; - reads standard input.")
    ],
    at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="When it happens, UTC; now by default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Predicts rows of a JSON file: an object by column name, or a list of them."""
    from boarfish.client import predict_request

    request = predict_request(deployment, read_rows(input_))
    if at is not None:
        request.event_time.FromDatetime(at)
    with client() as boarfish:
        answer = boarfish.inference.Predict(request)
    if as_json:
        print_json(answer)
        return
    print_table(
        ("Decision", "Score", "Prediction id"),
        ((one.decision, f"{one.score:.3f}", one.prediction_id) for one in answer.predictions),
        "No rows.",
    )
    console.print(
        f"Answered by version {answer.model_version[:12]}. A prediction can be contested by its id."
    )


@deployments.command("list", epilog="Example: boarfish deployments list")
def list_deployments(as_json: AsJson = False) -> None:
    """What serves under which name, on which rung."""
    from boarfish.v1 import inference_pb2

    with client() as boarfish:
        answer = boarfish.inference.ListDeployments(inference_pb2.ListDeploymentsRequest(page_size=1000))
    if as_json:
        print_json(answer)
        return
    rows = (
        (
            one.name,
            inference_pb2.Rung.Name(one.rung).removeprefix("RUNG_").lower(),
            one.champion.model_version[:12],
            one.shadow.model_version[:12],
            "ready" if one.champion.ready else one.champion.status,
            f"{one.pending_event_count:,}",
        )
        for one in answer.deployments
    )
    print_table(
        ("Name", "Rung", "Champion", "Shadow", "State", "Events under way"),
        rows,
        "There is no deployment yet.",
    )


@deployments.command(epilog="Example: boarfish deployments gate employment --rung canary")
def gate(
    deployment: Annotated[str, typer.Argument(help="Name of the deployment.")],
    rung: Annotated[str, typer.Option(help="The rung to be entered: assisted, canary or full.")],
    model_version: Annotated[str, typer.Option(help="Version to judge; the champion by default.")] = "",
    as_json: AsJson = False,
) -> None:
    """Whether what the task asks for before a rung holds now. Exit status 1 when it does not surely."""
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        request = monitoring_pb2.EvaluateGateRequest(
            deployment=deployment, rung=rung, model_version=model_version
        )
        answer = boarfish.monitoring.EvaluateGate(request)
    words = {
        monitoring_pb2.GATE_VERDICT_PASS: "[green]pass[/]",
        monitoring_pb2.GATE_VERDICT_FAIL: "[red]fail[/]",
        monitoring_pb2.GATE_VERDICT_INCONCLUSIVE: "[yellow]cannot tell yet[/]",
    }
    if as_json:
        print_json(answer)
    else:
        console.print(f"The gate to {escape(rung)}: {words[answer.verdict]}")
        for check in answer.checks:
            console.print(f"  {words[check.verdict]}  {escape(check.sentence)}")
    if answer.verdict != monitoring_pb2.GATE_VERDICT_PASS:
        sys.exit(BAD_ANSWER)


@alerts.command("list", epilog="Example: boarfish alerts list --deployment employment")
def list_alerts(
    deployment: Annotated[str, typer.Option(help="Only those of this deployment.")] = "",
    as_json: AsJson = False,
) -> None:
    """Alerts, newest first."""
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        request = monitoring_pb2.ListAlertsRequest(deployment=deployment, page_size=100)
        answer = boarfish.monitoring.ListAlerts(request)
    if as_json:
        print_json(answer)
        return
    rows = (
        (
            one.id,
            monitoring_pb2.AlertState.Name(one.state).removeprefix("ALERT_STATE_").lower(),
            day(one.detect_time),
            one.title,
        )
        for one in answer.alerts
    )
    print_table(("Id", "State", "Noticed", "What"), rows, "There is no alert.")


@alerts.command(
    epilog='Example: boarfish alerts acknowledge 1a2b --by Ada --note "the file is sorted that way"'
)
def acknowledge(
    alert_id: Annotated[str, typer.Argument(help="Id of the alert.")],
    by: Annotated[str, typer.Option(help="Your name; it stands in the ledger.")],
    note: Annotated[str, typer.Option(help="What you found or will do.")] = "",
    as_json: AsJson = False,
) -> None:
    """Notes that a person has seen an alert."""
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        request = monitoring_pb2.AcknowledgeAlertRequest(
            request_id=uuid.uuid4().hex, id=alert_id, acknowledged_by=by, note=note
        )
        answer = boarfish.monitoring.AcknowledgeAlert(request)
    if as_json:
        print_json(answer)
    else:
        console.print(f"Acknowledged: {escape(answer.alert.title)}")


def read_rows(source: str) -> list[dict[str, Any]]:
    """Rows of a JSON file, or of standard input for "-"; exits with what is wrong when there are none."""
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        found = json.loads(text)
    except OSError as error:
        fail(f"{source} cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        fail(f"{source} is not JSON: {error}")
    rows = [found] if isinstance(found, dict) else found
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        fail(f"{source} must hold an object by column name, or a list of such objects")
    return rows
