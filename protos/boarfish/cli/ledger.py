"""`boarfish ledger`: the record of who did what, and how to check it where no service runs."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from boarfish import ledger_check
from boarfish.cli.options import AsJson, client
from boarfish.cli.output import BAD_ANSWER, console, fail, minute, print_json, print_table
from boarfish.ledger_check import Check, Checkpoint

ledger = typer.Typer(help="The append-only record of who did what.", no_args_is_help=True)

SHOWN_PROBLEMS = 20
Key = Annotated[
    str, typer.Option("--key", help="The verifier key that you trust; by default the one that comes along.")
]


@ledger.command(
    epilog="Examples: boarfish ledger verify; boarfish ledger verify ledger.txt --checkpoint kept.txt"
)
def verify(
    file: Annotated[
        Path | None, typer.Argument(help="An export or a proof, checked offline; left out: ask the service.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A checkpoint that you kept: the file must continue it.")
    ] = None,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Checks the whole ledger. Exit status 1, and every bad entry by its number, when it does not hold."""
    if file is None:
        if checkpoint is not None or key:
            fail("--checkpoint and --key are for a file: name the export to check")
        _verify_served(as_json)
        return
    kept = None if checkpoint is None else _kept(checkpoint)
    try:
        with file.open(encoding="utf-8", newline="\n") as lines:
            proof = lines.read(1) == "{"
            lines.seek(0)
            if proof and kept is not None:
                fail("a proof brings its own checkpoint: --checkpoint is for an export")
            check = (
                _check_proof(lines.read(), file, key)
                if proof
                else ledger_check.check_export(lines, kept=kept, trusted_key=key)
            )
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        fail(f"{file} is not UTF-8 text")
    _tell(check, trusted=bool(key), as_json=as_json)


@ledger.command("list", epilog="Example: boarfish ledger list --after 20")
def list_entries(
    after: Annotated[int, typer.Option(min=0, help="Entries after this number.")] = 0, as_json: AsJson = False
) -> None:
    """Entries, oldest first, at most 1,000."""
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        request = monitoring_pb2.ListLedgerEntriesRequest(after_sequence=after, page_size=1000)
        answer = boarfish.monitoring.ListLedgerEntries(request)
    if as_json:
        print_json(answer)
        return
    rows = (
        (str(one.sequence), minute(one.record_time), one.actor, one.action, one.subject)
        for one in answer.entries
    )
    print_table(("Entry", "When", "Who", "Did", "To"), rows, "The ledger is empty.")


@ledger.command(epilog="Example: boarfish ledger export ledger.txt")
def export(
    file: Annotated[Path, typer.Argument(help="File to write.")],
    as_json: AsJson = False,
) -> None:
    """Writes the ledger with its signed checkpoint to a file that anyone can verify offline."""
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        parts = boarfish.monitoring.ExportLedger(monitoring_pb2.ExportLedgerRequest(), timeout=300)
        try:
            with file.open("w", encoding="utf-8", newline="\n") as lines:
                for part in parts:
                    lines.write(part.content)
        except OSError as error:
            fail(f"{file} cannot be written: {error.strerror}")
    with file.open(encoding="utf-8", newline="\n") as lines:
        check = ledger_check.check_export(lines)
    _tell(check, trusted=False, as_json=as_json)


@ledger.command(epilog="Example, daily: boarfish ledger checkpoint kept.txt")
def checkpoint(
    file: Annotated[
        Path | None, typer.Argument(help="Where you keep it; what is there must be the beginning of today's.")
    ] = None,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Shows the signed checkpoint and the public key; with a file, checks and replaces the one kept there."""
    from boarfish.v1 import monitoring_pb2

    kept = _kept(file) if file is not None and file.exists() else None
    with client() as boarfish:
        request = monitoring_pb2.GetLedgerCheckpointRequest(earlier_entry_count=kept.size if kept else 0)
        answer = boarfish.monitoring.GetLedgerCheckpoint(request)
    now = ledger_check.checkpoint_of(answer.checkpoint.note, answer.checkpoint.verifier_key)
    check = ledger_check.check_continues(kept or now, now, answer.consistency_path, trusted_key=key)
    if check.holds and file is not None:
        try:
            file.write_text(now.as_file(), encoding="utf-8", newline="\n")
        except OSError as error:
            fail(f"{file} cannot be written: {error.strerror}")
    if as_json:
        print_json(answer)
    else:
        console.print(f"Public key: {now.verifier_key}", soft_wrap=True)
        console.print(escape(now.note), soft_wrap=True)
        if kept is not None and check.holds:
            console.print(f"It continues the {kept.size:,} entries of the checkpoint that was kept.")
    _tell_problems(check, quiet=as_json)


@ledger.command(epilog="Example: boarfish ledger prove 17 entry-17.json")
def prove(
    sequence: Annotated[int, typer.Argument(min=1, help="Number of the entry.")],
    file: Annotated[Path, typer.Argument(help="File to write.")],
    as_json: AsJson = False,
) -> None:
    """Writes one entry with a proof that it stands in the ledger, which shows no other entry."""
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        answer = boarfish.monitoring.ProveLedgerEntry(
            monitoring_pb2.ProveLedgerEntryRequest(sequence=sequence)
        )
    proof = {
        "entry": answer.entry,
        "inclusion_path": list(answer.inclusion_path),
        "checkpoint": {"note": answer.checkpoint.note, "verifier_key": answer.checkpoint.verifier_key},
    }
    try:
        file.write_text(json.dumps(proof, indent=2, ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")
    if as_json:
        print_json(answer)
    else:
        console.print(f"{file} shows entry {sequence}: boarfish ledger verify {file}", soft_wrap=True)


def _verify_served(as_json: bool) -> None:
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        answer = boarfish.monitoring.VerifyLedger(monitoring_pb2.VerifyLedgerRequest(), timeout=300)
    if as_json:
        print_json(answer)
    elif answer.valid:
        console.print(f"The ledger holds: {answer.entry_count:,} entries, newest hash {answer.head_hash}.")
    else:
        console.print(
            f"[red]The ledger does not hold[/] at entry {answer.first_bad_sequence}: {escape(answer.reason)}"
        )
    if not answer.valid:
        sys.exit(BAD_ANSWER)


def _check_proof(text: str, file: Path, key: str) -> Check:
    try:
        found = json.loads(text)
        signed = ledger_check.checkpoint_of(found["checkpoint"]["note"], found["checkpoint"]["verifier_key"])
        return ledger_check.check_proof(found["entry"], found["inclusion_path"], signed, trusted_key=key)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        fail(f"{file} holds neither an export nor a proof of the ledger")


def _kept(file: Path) -> Checkpoint:
    try:
        return ledger_check.read_checkpoint(file.read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    except ValueError as error:
        fail(f"{file}: {error}")


def _tell(check: Check, *, trusted: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "valid": check.holds,
                "entry_count": check.entry_count,
                "verifier_key": check.key,
                "problems": [vars(problem) for problem in check.problems],
            }
        )
    elif check.holds:
        counted = "1 entry" if check.entry_count == 1 else f"{check.entry_count:,} entries"
        console.print(f"It holds: {counted}, signed by {check.key}.", soft_wrap=True)
        if not trusted:
            console.print("Compare that key with the one you were given, or name it by --key.")
    _tell_problems(check, quiet=as_json)


def _tell_problems(check: Check, *, quiet: bool) -> None:
    if check.holds:
        return
    if not quiet:
        console.print("[red]It is not shown to hold:[/]")
        for problem in check.problems[:SHOWN_PROBLEMS]:
            console.print(f"  {escape(problem.sentence)}", soft_wrap=True)
        if len(check.problems) > SHOWN_PROBLEMS:
            console.print(f"  and {len(check.problems) - SHOWN_PROBLEMS} more")
    sys.exit(BAD_ANSWER)
