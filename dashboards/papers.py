"""What the page of audits asks of the services besides: documents, and the ledger's checkpoint and export."""

import streamlit as st
from boarfish.v1 import monitoring_pb2 as pb

from dashboards.queries import KEEP_S, client

KINDS = {
    pb.DOCUMENT_KIND_MODEL_CARD: "Model card",
    pb.DOCUMENT_KIND_DATASHEET: "Datasheet",
    pb.DOCUMENT_KIND_ETHICS_CHECKLIST: "Ethics checklist",
    pb.DOCUMENT_KIND_DATA_PROJECT_CHECKLIST: "Data project checklist",
    pb.DOCUMENT_KIND_BIAS_AUDIT: "Bias audit (Local Law 144)",
    pb.DOCUMENT_KIND_TECHNICAL_DOCUMENTATION: "Technical documentation (EU AI Act, Annex IV)",
}


@st.cache_data(ttl=60, show_spinner=False)
def document(deployment: str, kind: "pb.DocumentKind.ValueType") -> pb.Document:
    """A document on what the deployment has predicted so far."""
    request = pb.WriteDocumentRequest(deployment=deployment, kind=kind)
    return client().monitoring.WriteDocument(request).document


@st.cache_data(ttl=KEEP_S, show_spinner=False)
def checkpoint() -> pb.LedgerCheckpoint:
    """The ledger's signed checkpoint. Raises `FailedPrecondition` for one that was altered or cut off."""
    return client().monitoring.GetLedgerCheckpoint(pb.GetLedgerCheckpointRequest()).checkpoint


def ledger_file() -> str:
    """The ledger as a file that `boarfish ledger verify` checks offline."""
    return "".join(part.content for part in client().monitoring.ExportLedger(pb.ExportLedgerRequest()))
