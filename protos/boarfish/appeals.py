"""Answering appeals: what is asked of monitoring, and the corrected label that follows to ingestion.

Monitoring calls no one, so whoever answers an appeal logs the label that was right; monitoring notes when it
reads it in the lake.
"""

import hashlib

from boarfish.v1 import common_pb2, ingestion_pb2, monitoring_pb2


def resolve_request(
    appeal_id: str, *, reviewed_by: str, answer: str, corrected_label: str | None, reviewer_role: str = ""
) -> monitoring_pb2.ResolveAppealRequest:
    """A request to uphold an appeal with the label that is right, or, where that is `None`, to reject it.

    The same answer has the same request id: sent twice, it is given once.
    """
    request = monitoring_pb2.ResolveAppealRequest(
        id=appeal_id,
        upheld=corrected_label is not None,
        answer=answer,
        reviewed_by=reviewed_by,
        corrected_label=corrected_label or "",
        reviewer_role=reviewer_role,
    )
    request.request_id = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
    return request


def correction_request(appeal: monitoring_pb2.Appeal) -> ingestion_pb2.LogLabelsRequest:
    """A request to log the corrected label of an appeal that was upheld; sent twice, it is written once."""
    request = ingestion_pb2.LogLabelsRequest(request_id=f"appeal-{appeal.id}", deployment=appeal.deployment)
    label = request.rows.labels.add(
        prediction_id=appeal.prediction_id,
        source=common_pb2.LABEL_SOURCE_HUMAN,
        event_time=appeal.correction_time,
    )
    label.value.string_value = appeal.corrected_label
    return request


def waits_for_label(appeal: monitoring_pb2.Appeal) -> bool:
    """Whether an appeal was upheld and its label has not been seen in the lake."""
    return appeal.state == monitoring_pb2.APPEAL_STATE_UPHELD and not appeal.HasField("label_time")
