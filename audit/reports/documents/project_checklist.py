"""The data project checklist: whether a project has what it needs to be of use, from strategy to constraints.

Its six parts are those of Howard's checklist in "Deep Learning for Coders", appendix B; the questions are
asked in our own words.
"""

from audit.reports.documents.evidence import FOOTER, Evidence, columns_table, quality_table
from audit.reports.layout import Items, Page, Section, Text


def project_checklist(evidence: Evidence) -> Page:
    """The checklist, with what the task file and the deployment already say to it."""
    measured = evidence.findings or ("No finding yet: there is no audited period.",)
    return Page(
        f"Data project checklist: {evidence.task}",
        (Text(f"Deployment {evidence.deployment}. Written {evidence.made}."),),
        (
            Section(
                "Strategy",
                (
                    evidence.ask(
                        "What is the organisation trying to achieve, and by which few levers?",
                        ("Which decision does the prediction change?", evidence.action),
                        (
                            "What does a right and a wrong prediction cost, and whom?",
                            evidence.positive_decision_means,
                        ),
                        ("How will anyone know that it helped?", evidence.outcome_measure),
                    ),
                ),
            ),
            Section(
                "Data",
                (
                    columns_table("Inputs of the model.", evidence.features),
                    evidence.ask(
                        ("Where do the data come from, and may they be used for this?", evidence.source),
                        ("What is wrong with the data, and who checks them?", evidence.known_limits),
                        "Which data would help that are not collected yet?",
                    ),
                ),
            ),
            Section(
                "Analytics",
                (
                    quality_table(evidence),
                    evidence.ask(
                        ("How much better is the model than the simplest rule?", evidence.baseline),
                        ("How was it tested on data it had not seen?", evidence.split),
                        "Who can read, repeat and correct the analysis?",
                    ),
                ),
            ),
            Section(
                "Implementation",
                (
                    evidence.ask(
                        "What must change in people's work for the prediction to be used?",
                        "How is it tried on few before it decides about many?",
                        "Who can stop it, and how fast?",
                    ),
                ),
            ),
            Section(
                "Maintenance",
                (
                    Items(evidence.watch),
                    Items(measured),
                    evidence.ask(
                        "Who looks at alerts, and within which time?",
                        "When is the model trained again, and who decides that it goes live?",
                    ),
                ),
            ),
            Section(
                "Constraints",
                (
                    evidence.ask(
                        "Which laws, contracts and rules apply?",
                        "Whose agreement is needed, and who may lose by it?",
                        "What must it not cost, in money, time and trust?",
                    ),
                ),
            ),
        ),
        FOOTER,
    )
