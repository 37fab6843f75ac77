"""The datasheet: where the data come from, what is in them, and what they should not be used for.

Its sections are those of Gebru and others, "Datasheets for datasets", Communications of the ACM 2021; the
questions are asked in our own words.
"""

from audit.reports.documents.evidence import FOOTER, Evidence, columns_table, said
from audit.reports.layout import Page, Section, Text


def datasheet(evidence: Evidence) -> Page:
    """The datasheet of the data that the deployment's model learned from."""
    counts = Text(f"{evidence.reference_count:,} rows were held out to judge the model: {evidence.split}.")
    return Page(
        f"Datasheet: {evidence.task}",
        (Text(f"Data of model version {evidence.model_version[:12]}. Written {evidence.made}."),),
        (
            Section(
                "Motivation",
                (said(evidence.motivation), evidence.ask("Who paid for the data to be made, and why?")),
            ),
            Section(
                "Composition",
                (
                    said(evidence.composition),
                    counts,
                    columns_table("What the model is given.", (*evidence.features, evidence.target)),
                    columns_table(
                        "What is known of people for audits alone; the model is not given it.",
                        evidence.sensitive,
                    ),
                    evidence.ask(
                        ("What errors, noise or gaps are in the data?", evidence.known_limits),
                        "Can a person be recognised from a row, alone or with other data?",
                        "Is there anything confidential in the data, or that may hurt whoever reads it?",
                    ),
                ),
            ),
            Section(
                "Collection",
                (
                    said(evidence.collection),
                    evidence.ask(
                        "Did the people know that their data were collected, and did they agree?",
                        "Can they withdraw, and how?",
                        "Has anyone examined what the collection may do to the people in it?",
                    ),
                ),
            ),
            Section(
                "Preparation",
                (
                    evidence.ask(
                        "What was cleaned, filled in or left out, and are the raw data kept?",
                        "Who labelled the data, by which instructions, and how often do they agree?",
                    ),
                ),
            ),
            Section(
                "Uses",
                (
                    Text(f"Here the data serve this action: {evidence.action}"),
                    said(evidence.known_limits),
                    evidence.ask("What should the data never be used for?"),
                ),
            ),
            Section("Distribution", (said(evidence.source), said(evidence.licence))),
            Section(
                "Maintenance",
                (
                    evidence.ask(
                        "Who keeps the data, and how are they reached?",
                        "How are errors mended, and how do users learn of it?",
                        "When is the data too old to be used?",
                    ),
                ),
            ),
        ),
        FOOTER,
    )
