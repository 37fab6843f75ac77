"""What the appeals desk asks of the services: appeals and their statistics, and the steps of one."""

import uuid

import streamlit as st
from boarfish.v1 import monitoring_pb2 as pb

from dashboards.queries import KEEP_S, client

OPEN = (pb.APPEAL_STATE_FILED, pb.APPEAL_STATE_IN_REVIEW)
SHOWN = 1000
NEW_REQUEST = "appeal-request"


@st.cache_data(ttl=KEEP_S, show_spinner=False)
def of(deployment: str) -> list[pb.Appeal]:
    """Appeals against a deployment, oldest first."""
    found: list[pb.Appeal] = []
    request = pb.ListAppealsRequest(deployment=deployment, page_size=SHOWN)
    while True:
        answer = client().monitoring.ListAppeals(request)
        found.extend(answer.appeals)
        request.page_token = answer.next_page_token
        if not request.page_token:
            return found


@st.cache_data(ttl=KEEP_S, show_spinner=False)
def one(appeal_id: str) -> pb.GetAppealResponse:
    """An appeal and the prediction that it contests."""
    return client().monitoring.GetAppeal(pb.GetAppealRequest(id=appeal_id))


@st.cache_data(ttl=KEEP_S, show_spinner=False)
def statistics(deployment: str) -> pb.GetAppealStatisticsResponse:
    """Who appeals and who is upheld."""
    return client().monitoring.GetAppealStatistics(pb.GetAppealStatisticsRequest(deployment=deployment))


def file(deployment: str, prediction_id: str, statement: str, person: str) -> pb.Appeal:
    """Contests a prediction."""
    request = pb.FileAppealRequest(
        request_id=_request_id(),
        prediction_id=prediction_id,
        statement=statement,
        deployment=deployment,
        filed_by=person,
    )
    appeal = client().monitoring.FileAppeal(request).appeal
    _changed()
    return appeal


def take(appeal_id: str, reviewer: str, role: str) -> pb.Appeal:
    """Takes an appeal on, or over from another reviewer."""
    request = pb.TakeAppealRequest(
        request_id=_request_id(), id=appeal_id, reviewed_by=reviewer, reviewer_role=role
    )
    appeal = client().monitoring.TakeAppeal(request).appeal
    _changed()
    return appeal


def answer(appeal: pb.Appeal, words: str, label: str | None) -> pb.Appeal:
    """Answers an appeal in the name of whoever has it; upheld with the label that is right."""
    answered = client().resolve_appeal(
        appeal.id, reviewed_by=appeal.reviewed_by, answer=words, corrected_label=label
    )
    _changed()
    return answered


def deliver() -> int:
    """Sends the corrected labels again that have not been seen in the lake; how many."""
    count = len(client().deliver_corrections())
    _changed()
    return count


def _request_id() -> str:
    """The same id until a step is done, so that a button pressed twice does it once."""
    return str(st.session_state.setdefault(NEW_REQUEST, uuid.uuid4().hex))


def _changed() -> None:
    st.session_state.pop(NEW_REQUEST, None)
    for kept in (of, one, statistics):
        kept.clear()
