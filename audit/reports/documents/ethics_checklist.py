"""The ethics checklist: seven questions to ask of any data project before it acts on people.

The questions are those of Howard and Gugger, "Deep Learning for Coders", chapter 3 (after Thomas); those that
a task adds follow. What the suite can say to a question stands below it; the answer is a person's.
"""

from audit.reports.documents.evidence import FOOTER, Evidence, groups_section, rate_text
from audit.reports.layout import Page, Section, Text

QUESTIONS = (
    "Should we be doing this at all?",
    "What bias is in the data?",
    "Can the code and data be audited?",
    "What are the error rates of the different subgroups?",
    "What is the accuracy of a simple rule?",
    "Who handles appeals and mistakes?",
    "How diverse was the team that built it?",
)


def ethics_checklist(evidence: Evidence) -> Page:
    """The checklist with its answers and, where the suite has any, its evidence."""
    accuracy = evidence.quality.get("accuracy")
    model = "" if accuracy is None else f" The model's is {rate_text('accuracy', accuracy)}."
    rated = sum(not group.note for group in evidence.groups)
    known = {
        QUESTIONS[0]: f"It serves this action: {evidence.action}",
        QUESTIONS[1]: evidence.known_limits,
        QUESTIONS[2]: f"Model version {evidence.model_version[:12]} is kept by the hash of what it is; every "
        "registration, approval and audit stands in the ledger, which anyone can verify.",
        QUESTIONS[3]: f"{rated} of {len(evidence.groups)} groups and crossings have enough people to be "
        "rated; the table below shows them.",
        QUESTIONS[4]: evidence.baseline + model,
    }
    own = tuple(question for question in evidence.answers if question not in QUESTIONS)
    asked = evidence.ask(*((question, known.get(question, "")) for question in QUESTIONS))
    sections = [Section("Questions", (asked,))]
    if own:
        sections.append(Section("Questions that the task adds", (evidence.ask(*own),)))
    return Page(
        f"Ethics checklist: {evidence.task}",
        (Text(f"Deployment {evidence.deployment}. Written {evidence.made}."),),
        (*sections, groups_section(evidence, "Error rates by group")),
        FOOTER,
    )
