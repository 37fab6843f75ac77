"""What the pages ask of the services, through gRPC alone, and the tables that charts are drawn from.

Answers are kept for a few seconds, so that a page that is looked at by many costs one call. Nothing here
grows with the number of predictions: monitoring answers from merged profiles.
"""

import math
from collections.abc import Iterable

import pandas as pd
import streamlit as st
from boarfish import Client
from boarfish.v1 import common_pb2, inference_pb2, ingestion_pb2, monitoring_pb2, task_pb2, training_pb2

KEEP_S = 5
WINDOWS_A_PAGE = 500

RATES = {
    "false_positive_rate": "False positive rate",
    "false_negative_rate": "False negative rate",
    "selection_rate": "Selection rate",
    "accuracy": "Accuracy",
    "positive_predictive_value": "Positive predictive value",
}


@st.cache_resource(show_spinner=False)
def client() -> Client:
    """One client for all sessions; addresses come from the `BOARFISH_*_ADDRESS` variables."""
    return Client.from_environment()


@st.cache_data(ttl=KEEP_S, show_spinner=False)
def health() -> list[monitoring_pb2.DeploymentHealth]:
    """How each deployment is doing."""
    return list(client().monitoring.GetHealth(monitoring_pb2.GetHealthRequest()).deployments)


@st.cache_data(ttl=KEEP_S, show_spinner=False)
def deployment(name: str) -> inference_pb2.Deployment:
    """What serves under `name`."""
    return client().inference.GetDeployment(inference_pb2.GetDeploymentRequest(name=name)).deployment


@st.cache_data(ttl=KEEP_S, show_spinner=False)
def alerts(name: str) -> list[monitoring_pb2.Alert]:
    """The newest alerts of a deployment, in any state, newest first."""
    request = monitoring_pb2.ListAlertsRequest(deployment=name, page_size=100)
    return list(client().monitoring.ListAlerts(request).alerts)


def acknowledge(alert_id: str, person: str, note: str) -> None:
    """Notes that `person` has seen the alert."""
    request = monitoring_pb2.AcknowledgeAlertRequest(id=alert_id, acknowledged_by=person, note=note)
    client().monitoring.AcknowledgeAlert(request)
    alerts.clear()
    health.clear()


@st.cache_data(ttl=60, show_spinner=False)
def task(model_version: str) -> task_pb2.Task:
    """The task that a model version was trained for."""
    found = (
        client().training.GetModelVersion(training_pb2.GetModelVersionRequest(id=model_version)).model_version
    )
    return client().ingestion.GetDataset(ingestion_pb2.GetDatasetRequest(name=found.dataset)).dataset.task


@st.cache_data(ttl=60, show_spinner=False)
def model_version(version_id: str) -> training_pb2.ModelVersion:
    """A model version with its metrics and model card."""
    return client().training.GetModelVersion(training_pb2.GetModelVersionRequest(id=version_id)).model_version


@st.cache_data(ttl=KEEP_S, show_spinner=False)
def windows(
    name: str, parts: tuple[int, ...] = (), *, merge: bool = False
) -> tuple[list[monitoring_pb2.Window], monitoring_pb2.Window]:
    """All windows of the champion, oldest first, and the reference.

    With `merge` one window over everything.
    """
    found: list[monitoring_pb2.Window] = []
    token, reference = "", monitoring_pb2.Window()
    while True:
        request = monitoring_pb2.QueryProfilesRequest(
            deployment=name,
            merge=merge,
            parts=[monitoring_pb2.WindowPart.ValueType(part) for part in parts],
            page_size=WINDOWS_A_PAGE,
            page_token=token,
        )
        answer = client().monitoring.QueryProfiles(request)
        found.extend(answer.windows)
        reference, token = answer.reference, answer.next_page_token
        if not token:
            return found, reference


@st.cache_data(ttl=KEEP_S, show_spinner=False)
def gate(name: str, rung: str, model_version: str) -> monitoring_pb2.EvaluateGateResponse:
    """What the gate to a rung says of a model version."""
    request = monitoring_pb2.EvaluateGateRequest(deployment=name, rung=rung, model_version=model_version)
    return client().monitoring.EvaluateGate(request)


@st.cache_data(ttl=KEEP_S, show_spinner=False)
def audits(name: str) -> list[monitoring_pb2.Audit]:
    """Audits of a deployment, newest first, without their reports."""
    return list(client().monitoring.ListAudits(monitoring_pb2.ListAuditsRequest(deployment=name)).audits)


@st.cache_data(ttl=600, show_spinner=False)
def audit(audit_id: str) -> monitoring_pb2.Audit:
    """One audit with its report."""
    return client().monitoring.GetAudit(monitoring_pb2.GetAuditRequest(id=audit_id)).audit


@st.cache_data(ttl=KEEP_S, show_spinner=False)
def ledger() -> tuple[list[monitoring_pb2.LedgerEntry], monitoring_pb2.VerifyLedgerResponse]:
    """The newest 200 ledger entries, newest first, and whether the whole chain holds."""
    verdict = client().monitoring.VerifyLedger(monitoring_pb2.VerifyLedgerRequest())
    request = monitoring_pb2.ListLedgerEntriesRequest(
        after_sequence=max(0, verdict.entry_count - 200), page_size=200
    )
    entries = client().monitoring.ListLedgerEntries(request).entries
    return list(reversed(entries)), verdict


def quality_table(found: Iterable[monitoring_pb2.Window]) -> pd.DataFrame:
    """One row a window.

    Start, end, rows, labelled rows, and value, lower and upper bound of each rate of interest.
    """
    names = ("accuracy", "estimated_accuracy", "selection_rate", "auc", "calibration_error")
    rows = []
    for window in found:
        row: dict[str, object] = {
            "start": window.period.start_time.ToDatetime(),
            "end": window.period.end_time.ToDatetime(),
            "rows": window.quality.row_count,
            "labelled": window.quality.labelled_count,
            "simulated": ", ".join(window.simulations),
            "complete": window.complete,
        }
        for name in names:
            estimate = getattr(window.quality, name)
            row[name], row[f"{name}_lower"], row[f"{name}_upper"] = (
                estimate.value,
                estimate.lower,
                estimate.upper,
            )
        rows.append(row)
    return pd.DataFrame(rows)


def drift_table(found: Iterable[monitoring_pb2.Window]) -> pd.DataFrame:
    """Jensen-Shannon distances, one row a window start, one column an input."""
    rows = {
        window.period.start_time.ToDatetime(): {d.column: d.jensen_shannon_distance for d in window.drifts}
        for window in found
    }
    return pd.DataFrame.from_dict(rows, orient="index").sort_index()


def group_table(groups: Iterable[monitoring_pb2.SubgroupQuality], rate: str) -> pd.DataFrame:
    """One row a rated group.

    Name, attributes, people, the rate with its interval, and whether its gap is significant.
    """
    rows = []
    for group in groups:
        estimate: common_pb2.Estimate = getattr(group.quality, rate)
        if group.suppressed or math.isnan(estimate.value):
            continue
        gap = next((gap for gap in group.gaps if gap.rate == rate), None)
        rows.append(
            {
                "group": group.display_name,
                "attributes": " × ".join(sorted(group.group)),
                "people": estimate.count,
                "value": estimate.value,
                "lower": estimate.lower,
                "upper": estimate.upper,
                "significant": bool(gap and gap.significant),
                "sentence": gap.sentence if gap else "",
            }
        )
    return pd.DataFrame(rows)
