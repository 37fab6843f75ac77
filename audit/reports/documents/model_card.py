"""The model card: what a model is for, how good it is, for whom, and where it must not be trusted.

Its sections are those of Mitchell and others, "Model cards for model reporting", FAT* 2019. `hugging_face`
and `model_card_toolkit` give the same in the layouts of those two.
"""

from audit.reports.documents.evidence import (
    FOOTER,
    Evidence,
    columns_table,
    groups_section,
    quality_table,
    said,
)
from audit.reports.layout import Items, Page, Section, Text

OUT_OF_SCOPE = "What must the model not be used for?"
LICENCE = "Under which licence is the model given?"
CONTACT = "Who answers for the model, and how are they reached?"
CAVEATS = "What should whoever uses the model know that no figure shows?"


def model_card(evidence: Evidence) -> Page:
    """The card of the model that the deployment serves."""
    return Page(
        f"Model card: {evidence.task}",
        (
            Text(
                f"Model version {evidence.model_version[:12]}, served as {evidence.deployment}. "
                f"Written {evidence.made}."
            ),
        ),
        (
            Section("Model", (Text(f"{evidence.kind}. {evidence.decision}"), evidence.ask(CONTACT, LICENCE))),
            Section(
                "Intended use",
                (
                    Text(evidence.action),
                    Text(f"What a positive decision means: {evidence.positive_decision_means}"),
                    evidence.ask(OUT_OF_SCOPE),
                ),
            ),
            Section(
                "Factors",
                (columns_table("Attributes by which it is judged; not inputs.", evidence.sensitive),),
            ),
            Section("Metrics", (quality_table(evidence), Text(evidence.baseline))),
            groups_section(evidence, "For whom"),
            Section(
                "Data",
                (
                    said(evidence.composition),
                    said(evidence.collection),
                    Text(f"Held out: {evidence.split}."),
                    said(f"{evidence.source} {evidence.licence}".strip()),
                ),
            ),
            Section("In use", (Items(evidence.findings or ("No finding yet.",)),)),
            Section("Limits", (said(evidence.known_limits), evidence.ask(CAVEATS))),
        ),
        FOOTER,
    )
