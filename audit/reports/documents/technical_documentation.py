"""Technical documentation of a high-risk AI system, in the order of the EU AI Act's Annex IV.

Source: Regulation (EU) 2024/1689, Article 11 and Annex IV, points 1 to 9. The points are told in our own
words; the law's text holds. What the suite knows is filled in, the rest is asked of people: nothing here
says that a system conforms.
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


def technical_documentation(evidence: Evidence) -> Page:
    """The documentation of a deployment, point by point."""
    return Page(
        f"Technical documentation: {evidence.task}",
        (
            Text(
                f"Deployment {evidence.deployment}, model version {evidence.model_version}. {evidence.made}."
            ),
            Text(
                "In the order of Annex IV of Regulation (EU) 2024/1689. It gathers evidence; whether the "
                "system conforms is for people to judge."
            ),
        ),
        (
            _description(evidence),
            _development(evidence),
            _control(evidence),
            Section(
                "4. Whether the measures of performance fit",
                (
                    evidence.ask(
                        (
                            "Why are these measures of performance right for this system?",
                            evidence.outcome_measure,
                        ),
                    ),
                ),
            ),
            Section(
                "5. Risk management (Article 9)",
                (
                    evidence.ask(
                        (
                            "Which risks to health, safety and rights are known, and what is done about it?",
                            evidence.known_limits,
                        ),
                        "Who decides that the risk which is left is acceptable?",
                    ),
                ),
            ),
            Section(
                "6. Changes through its life",
                (
                    Text(
                        "Every registration, approval, promotion and rollback stands in the ledger; "
                        "`boarfish ledger export` gives it as a file that can be verified offline."
                    ),
                    evidence.ask("Which changes were made since it was put into service, and why?"),
                ),
            ),
            Section(
                "7. Standards",
                (
                    evidence.ask(
                        "Which harmonised standards or other specifications are applied, and how far?"
                    ),
                ),
            ),
            Section(
                "8. Declaration of conformity (Article 47)",
                (evidence.ask("Where is the EU declaration of conformity?"),),
            ),
            Section(
                "9. Watching after it is on the market (Article 72)",
                (
                    Items(evidence.watch or ("The task says nothing of watching.",)),
                    Items(evidence.alerts or ("No alert stands against it.",)),
                    evidence.ask("What is the plan for watching it, and who reports serious incidents?"),
                ),
            ),
        ),
        FOOTER,
    )


def _description(evidence: Evidence) -> Section:
    return Section(
        "1. General description",
        (
            Text(f"What it is for: {evidence.action}"),
            Text(f"What a positive decision means: {evidence.positive_decision_means}"),
            Text(f"{evidence.kind}. {evidence.decision}"),
            evidence.ask(
                "Who is the provider?",
                "With which other hardware and software does it act, and in which versions?",
                "In which form is it put into service (packages, devices, calls over a network)?",
                "Which instructions are the deployer and its staff given?",
            ),
        ),
    )


def _development(evidence: Evidence) -> Section:
    return Section(
        "2. Elements and how it was developed",
        (
            evidence.ask(
                "Which design choices were made, on which assumptions about whom it is used on?",
                "Which third-party or pretrained parts does it use?",
                "What computing was used to develop, train and test it?",
            ),
        ),
        (
            Section(
                "Data",
                (
                    said(evidence.motivation),
                    said(evidence.composition),
                    said(evidence.collection),
                    said(f"{evidence.source} {evidence.licence}".strip()),
                    columns_table("Inputs and target.", (*evidence.features, evidence.target)),
                    columns_table("Known of people for audits alone.", evidence.sensitive),
                    evidence.ask("How were the data labelled and cleaned?"),
                ),
            ),
            Section(
                "Validation and testing",
                (Text(f"Held out: {evidence.split}."), quality_table(evidence), Text(evidence.baseline)),
            ),
            groups_section(evidence, "Effects on groups of people"),
            Section(
                "Oversight and security",
                (
                    evidence.ask(
                        "Which human oversight does it need, and what helps people to understand its output?",
                        "Which changes to it are foreseen, and how does it stay in order through them?",
                        "How is it protected against attack and misuse?",
                    ),
                ),
            ),
        ),
    )


def _control(evidence: Evidence) -> Section:
    return Section(
        "3. Monitoring, functioning and control",
        (
            said(evidence.known_limits),
            Items(evidence.findings or ("No finding yet: there is no audited period.",)),
            evidence.ask(
                "Which unintended outcomes and sources of risk can be foreseen?",
                "Who oversees it while it runs, and what can they do?",
            ),
        ),
    )
