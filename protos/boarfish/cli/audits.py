"""`boarfish audit`: what was found."""

import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from boarfish.cli.options import AsJson, client
from boarfish.cli.output import console, day, fail, minute, print_json, print_table

if TYPE_CHECKING:
    from boarfish.v1 import monitoring_pb2

audit = typer.Typer(help="Dated reports over a deployment.", no_args_is_help=True)


@audit.command("run", epilog="Example: boarfish audit run employment --by Ada --output report/")
def run_audit(
    deployment: Annotated[str, typer.Argument(help="Name of the deployment.")] = "",
    by: Annotated[str, typer.Option(help="Who asks for it; stands in the report and the ledger.")] = "",
    output: Annotated[Path | None, typer.Option(help="Folder for report.html and report.json.")] = None,
    as_json: AsJson = False,
) -> None:
    """Audits a deployment over everything so far; the only one there is, when none is named."""
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        if not deployment:
            deployment = _only(health.deployment for health in boarfish.health())
        request = monitoring_pb2.RunAuditRequest(
            request_id=uuid.uuid4().hex, deployment=deployment, requested_by=by
        )
        made = boarfish.monitoring.RunAudit(request, timeout=300).audit
    _show(made, output, as_json)


@audit.command("show", epilog="Example: boarfish audit show 3f2a --output report/")
def show_audit(
    audit_id: Annotated[str, typer.Argument(help="Id of the audit.")],
    output: Annotated[Path | None, typer.Option(help="Folder for report.html and report.json.")] = None,
    as_json: AsJson = False,
) -> None:
    """Shows an audit's findings."""
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        found = boarfish.monitoring.GetAudit(monitoring_pb2.GetAuditRequest(id=audit_id)).audit
    _show(found, output, as_json)


@audit.command("list", epilog="Example: boarfish audit list")
def list_audits(as_json: AsJson = False) -> None:
    """Audits, newest first."""
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        answer = boarfish.monitoring.ListAudits(monitoring_pb2.ListAuditsRequest(page_size=100))
    if as_json:
        print_json(answer)
        return
    rows = ((one.id, one.deployment, minute(one.create_time), one.requested_by) for one in answer.audits)
    print_table(("Id", "Deployment", "When", "Asked for by"), rows, "No audit has been run yet.")


def _show(found: "monitoring_pb2.Audit", output: Path | None, as_json: bool) -> None:
    if output is not None:
        try:
            _write(found, output)
        except OSError as error:
            fail(f"{output} cannot be written: {error.strerror}")
    if as_json:
        print_json(found)
        return
    console.print(
        f"Audit {found.id} of {found.deployment}, {day(found.period.start_time)} to "
        f"{day(found.period.end_time)}"
    )
    for finding in found.findings:
        console.print(f"  • {escape(finding)}")
    if output is not None:
        console.print(f"The report is in {output / 'report.html'}.")


def _write(found: "monitoring_pb2.Audit", output: Path) -> None:
    from google.protobuf.json_format import MessageToDict

    output.mkdir(parents=True, exist_ok=True)
    report = json.dumps(MessageToDict(found.report), indent=2, ensure_ascii=False)
    (output / "report.html").write_text(found.html, encoding="utf-8")
    (output / "report.json").write_text(report, encoding="utf-8")


def _only(names: Iterable[str]) -> str:
    from boarfish.errors import NotFound

    found = list(names)
    if len(found) != 1:
        there = ", ".join(found) or "none yet"
        raise NotFound(f"Name the deployment to audit; there are: {there}.")
    return found[0]
