"""`boarfish audit`: what was found, and the documents that tell of it."""

import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from boarfish.cli.options import AsJson, client
from boarfish.cli.output import console, day, fail, minute, plain, print_json, print_table
from boarfish.cli.pdf import NotPrinted, write_pdf

if TYPE_CHECKING:
    from google.protobuf import struct_pb2

    from boarfish.client import Client
    from boarfish.v1 import monitoring_pb2

audit = typer.Typer(help="Dated reports over a deployment.", no_args_is_help=True)

KINDS = (
    "datasheet",
    "model_card",
    "ethics_checklist",
    "data_project_checklist",
    "bias_audit",
    "technical_documentation",
)


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


@audit.command(
    epilog="Examples: boarfish audit documents employment --output papers/ --pdf; "
    "boarfish audit documents employment --kind model_card --json"
)
def documents(
    deployment: Annotated[str, typer.Argument(help="Name of the deployment.")] = "",
    kind: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(KINDS)}; all by default.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the documents, as HTML and JSON.")] = None,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Print each as PDF too; needs Chromium or Chrome.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Writes documents on a deployment: evidence filled in, what nobody has answered marked open."""
    if unknown := [one for one in kind or () if one not in KINDS]:
        fail(f"there is no document {unknown[0]!r}: there are {', '.join(KINDS)}")
    if pdf and output is None:
        fail("--pdf needs --output, a folder to write to")
    made = {}
    with client() as boarfish:
        name = deployment or _only(health.deployment for health in boarfish.health())
        for one in kind or KINDS:
            made[one] = _document(boarfish, name, one)
    if output is not None:
        _write_documents(made, output, pdf=pdf)
    if as_json:
        print_json({one: plain(document) for one, document in made.items()})
        return
    rows = ((document.title, str(len(document.open_questions))) for document in made.values())
    print_table(("Document", "Open questions"), rows, "There is none.")
    if output is not None:
        console.print(f"The documents are in {output}.")
    console.print("Answer a question in the task file, in its own words, under ethics_checklist.")


def _document(boarfish: "Client", deployment: str, kind: str) -> "monitoring_pb2.Document":
    from boarfish.v1 import monitoring_pb2

    value = monitoring_pb2.DocumentKind.Value(f"DOCUMENT_KIND_{kind.upper()}")
    request = monitoring_pb2.WriteDocumentRequest(deployment=deployment, kind=value)
    return boarfish.monitoring.WriteDocument(request, timeout=300).document


def _write_documents(made: "dict[str, monitoring_pb2.Document]", output: Path, *, pdf: bool) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        for kind, document in made.items():
            _write_text(output / f"{kind}.html", document.html)
            _write_text(output / f"{kind}.json", _json(document.content))
            if document.markdown:
                _write_text(output / f"{kind}.md", document.markdown)
                _write_text(output / f"{kind}.toolkit.json", _json(document.model_card_toolkit))
            if pdf:
                write_pdf(output / f"{kind}.html", output / f"{kind}.pdf")
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}")
    except NotPrinted as error:
        fail(str(error))


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
    output.mkdir(parents=True, exist_ok=True)
    _write_text(output / "report.html", found.html)
    _write_text(output / "report.json", _json(found.report))


def _write_text(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def _json(content: "struct_pb2.Struct") -> str:
    return json.dumps(plain(content), indent=2, ensure_ascii=False)


def _only(names: Iterable[str]) -> str:
    from boarfish.errors import NotFound

    found = list(names)
    if len(found) != 1:
        there = ", ".join(found) or "none yet"
        raise NotFound(f"Name the deployment to audit; there are: {there}.")
    return found[0]
