"""`boarfish appeals`: a person's contest of a prediction, from filing to answer."""

import uuid
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from boarfish.cli.options import AsJson, client
from boarfish.cli.output import console, day, fail, number, print_json, print_table

if TYPE_CHECKING:
    from boarfish.v1 import monitoring_pb2

appeals = typer.Typer(help="People who contest a prediction.", no_args_is_help=True)

AppealId = Annotated[str, typer.Argument(help="Id of the appeal.")]
Reviewer = Annotated[str, typer.Option("--by", help="Your name; it stands in the ledger.")]
Role = Annotated[str, typer.Option("--role", help="In which role you review.")]
Words = Annotated[str, typer.Option("--answer", help="What the person is told, in plain words.")]


@appeals.command("file", epilog='Example: boarfish appeals file 0197... --statement "I was at work."')
def file_appeal(
    prediction_id: Annotated[str, typer.Argument(help="Id of the prediction.")],
    statement: Annotated[str, typer.Option(help="What the person says, in their own words.")],
    by: Annotated[str, typer.Option(help="Who files it, if they want to be named.")] = "",
    as_json: AsJson = False,
) -> None:
    """Contests a prediction."""
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        request = monitoring_pb2.FileAppealRequest(
            request_id=uuid.uuid4().hex, prediction_id=prediction_id, statement=statement, filed_by=by
        )
        appeal = boarfish.monitoring.FileAppeal(request).appeal
    if as_json:
        print_json(appeal)
    else:
        console.print(f"Filed as appeal {appeal.id}. An answer is owed by {day(appeal.due_time)}.")


@appeals.command("list", epilog="Example: boarfish appeals list --deployment employment")
def list_appeals(
    deployment: Annotated[str, typer.Option(help="Only those against this deployment.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Those that are answered too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Appeals that wait for an answer, first due first, at most 1,000."""
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        request = monitoring_pb2.ListAppealsRequest(
            deployment=deployment, only_open=not every, page_size=1000
        )
        answer = boarfish.monitoring.ListAppeals(request)
    if as_json:
        print_json(answer)
        return
    rows = (
        (
            one.id,
            _state(one),
            f"{day(one.due_time)}{', overdue' if one.overdue else ''}",
            one.reviewed_by,
            one.decision,
        )
        for one in answer.appeals
    )
    print_table(("Id", "State", "Due", "Reviewer", "Decision"), rows, "No appeal waits for an answer.")


@appeals.command("show", epilog="Example: boarfish appeals show 5f1c")
def show(appeal_id: AppealId, as_json: AsJson = False) -> None:
    """Shows an appeal and the prediction that it contests."""
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        found = boarfish.monitoring.GetAppeal(monitoring_pb2.GetAppealRequest(id=appeal_id))
    if as_json:
        print_json(found)
        return
    appeal, prediction = found.appeal, found.prediction
    console.print(f"Appeal {appeal.id}: {_state(appeal)}, due {day(appeal.due_time)}.")
    console.print(f"  They say: {escape(appeal.statement)}")
    if found.HasField("prediction"):
        inputs = sorted(dict(prediction.inputs).items())
        told = ", ".join(f"{name} {_plain(value)}" for name, value in inputs)
        console.print(f"  Decided {day(prediction.event_time)}: {escape(prediction.decision)}")
        console.print(f"  Score of a positive decision: {prediction.score:.3f}")
        console.print(f"  From: {escape(told)}")
    if appeal.answer:
        console.print(f"  {escape(appeal.reviewed_by)} answered: {escape(appeal.answer)}")


@appeals.command("take", epilog='Example: boarfish appeals take 5f1c --by Rosa --role "case worker"')
def take(appeal_id: AppealId, by: Reviewer, role: Role = "", as_json: AsJson = False) -> None:
    """Takes an appeal on, or over from another reviewer."""
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        request = monitoring_pb2.TakeAppealRequest(
            request_id=uuid.uuid4().hex, id=appeal_id, reviewed_by=by, reviewer_role=role
        )
        appeal = boarfish.monitoring.TakeAppeal(request).appeal
    _done(appeal, as_json)


@appeals.command(
    epilog='Example: boarfish appeals uphold 5f1c --by Rosa --label 0 --answer "You are right: ..."'
)
def uphold(
    appeal_id: AppealId,
    by: Reviewer,
    label: Annotated[str, typer.Option(help="The label that is right.")],
    answer: Words,
    *,
    role: Role = "",
    as_json: AsJson = False,
) -> None:
    """Says that the person is right, and logs the label that is."""
    if not label:
        fail("An appeal that is upheld says what is right: give --label.")
    with client() as boarfish:
        appeal = boarfish.resolve_appeal(
            appeal_id, reviewed_by=by, answer=answer, corrected_label=label, reviewer_role=role
        )
    _done(appeal, as_json)


@appeals.command(epilog='Example: boarfish appeals reject 5f1c --by Rosa --answer "The record shows ..."')
def reject(
    appeal_id: AppealId, by: Reviewer, answer: Words, role: Role = "", as_json: AsJson = False
) -> None:
    """Says why the decision stands."""
    with client() as boarfish:
        appeal = boarfish.resolve_appeal(appeal_id, reviewed_by=by, answer=answer, reviewer_role=role)
    _done(appeal, as_json)


@appeals.command(epilog="Example: boarfish appeals deliver")
def deliver(as_json: AsJson = False) -> None:
    """Logs again the corrected labels that have not been seen in the lake."""
    with client() as boarfish:
        delivered = boarfish.deliver_corrections()
    if as_json:
        print_json({"appeals": [appeal.id for appeal in delivered]})
    else:
        console.print(
            f"Corrected labels logged: {len(delivered)}." if delivered else "No corrected label is missing."
        )


@appeals.command("statistics", epilog="Example: boarfish appeals statistics employment")
def statistics(
    deployment: Annotated[str, typer.Argument(help="Name of the deployment.")], as_json: AsJson = False
) -> None:
    """Who appeals and who is upheld, by group."""
    from boarfish.v1 import monitoring_pb2

    with client() as boarfish:
        request = monitoring_pb2.GetAppealStatisticsRequest(deployment=deployment)
        found = boarfish.monitoring.GetAppealStatistics(request)
    if as_json:
        print_json(found)
        return
    console.print(escape(found.everyone.sentence))
    rows = (
        (one.display_name, number(one.appeal_rate, 100, " %"), number(one.upheld_rate, 100, " %"))
        for one in found.groups
    )
    print_table(("Group", "Of decisions, appealed", "Of answers, upheld"), rows, "There are no groups.")


def _done(appeal: "monitoring_pb2.Appeal", as_json: bool) -> None:
    if as_json:
        print_json(appeal)
    else:
        console.print(f"Appeal {appeal.id} is {_state(appeal)}, by {escape(appeal.reviewed_by)}.")


def _state(appeal: "monitoring_pb2.Appeal") -> str:
    from boarfish.v1 import monitoring_pb2

    name = monitoring_pb2.AppealState.Name(appeal.state).removeprefix("APPEAL_STATE_")
    return name.lower().replace("_", " ")


def _plain(value: object) -> str:
    return "missing" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
