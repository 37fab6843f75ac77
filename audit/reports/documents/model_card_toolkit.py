"""The model card in the JSON schema of Google's Model Card Toolkit, version 0.0.2.

Source: tensorflow/model-card-toolkit, `schema/v0.0.2/model_card.schema.json`: `model_details`,
`model_parameters`, `quantitative_analysis`, `considerations`.
"""

import math
from collections.abc import Iterator
from typing import Any

from audit.estimate import Estimate
from audit.reports.documents.evidence import Evidence
from audit.reports.documents.model_card import CAVEATS, CONTACT, LICENCE, OUT_OF_SCOPE


def toolkit_card(evidence: Evidence) -> dict[str, Any]:
    """The card as JSON values. Rates that are unknown are left out; what nobody has answered is left out too,
    as the schema has no place for an open question.
    """
    asked = evidence.ask(CONTACT, LICENCE, OUT_OF_SCOPE, CAVEATS).answers
    owner, licence, out_of_scope, caveats = (one.answer for one in asked)
    limits = [text for text in (evidence.known_limits, out_of_scope, caveats) if text]
    return {
        "schema_version": "0.0.2",
        "model_details": {
            "name": evidence.task,
            "overview": evidence.action,
            "documentation": f"{evidence.kind}. {evidence.decision}",
            "owners": [{"name": owner}] if owner else [],
            "version": {"name": evidence.model_version, "date": evidence.made},
            "licenses": [{"custom_text": licence}] if licence else [],
        },
        "model_parameters": {
            "data": [
                {
                    "name": evidence.task,
                    "description": " ".join(
                        (evidence.composition, evidence.collection, evidence.source, evidence.licence)
                    ),
                    "sensitive": {
                        "sensitive_data": [one.description or one.name for one in evidence.sensitive]
                    },
                }
            ],
            "input_format": ", ".join(f"{one.name} ({one.kind})" for one in evidence.features),
            "output_format": f"{evidence.target.name}: {evidence.target.description}",
        },
        "quantitative_analysis": {"performance_metrics": list(_metrics(evidence))},
        "considerations": {
            "users": [{"description": evidence.deployment}],
            "use_cases": [{"description": evidence.action}],
            "limitations": [{"description": text} for text in limits],
            "ethical_considerations": [
                {"name": sentence} for group in evidence.groups for sentence in group.findings
            ],
        },
    }


def _metrics(evidence: Evidence) -> Iterator[dict[str, Any]]:
    for name, found in evidence.quality.items():
        if found.known:
            yield _metric(name, found, f"Decisions, {evidence.period}")
    for group in evidence.groups:
        for name, found in group.rates.items():
            if found.known and not group.note:
                yield _metric(name, found, group.display_name)


def _metric(name: str, found: Estimate, slice_: str) -> dict[str, Any]:
    made: dict[str, Any] = {"type": name, "value": found.value, "slice": slice_}
    if math.isfinite(found.lower) and math.isfinite(found.upper):
        made["confidence_interval"] = {"lower_bound": found.lower, "upper_bound": found.upper}
    return made
