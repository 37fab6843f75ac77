"""The model card as Hugging Face lays it out: metadata in YAML, then Markdown.

Sources: Hugging Face Hub, "Model Cards" (the metadata block, with `model-index` for results) and its
annotated card template (names and order of the sections).
"""

import json
import re
from collections.abc import Iterator

from audit.reports.documents.evidence import Evidence, groups_section, quality_table
from audit.reports.documents.model_card import CAVEATS, CONTACT, LICENCE, OUT_OF_SCOPE
from audit.reports.layout import Block, Cell, Items, Mark, Questions, Section, Table, Text
from audit.reports.page import words

TASKS = {"Binary classification": "tabular-classification", "Regression": "tabular-regression"}
"""Names that the Hub has for kinds of task; of another kind the card names none."""


def hugging_face_card(evidence: Evidence) -> str:
    """`README.md` of a model on the Hub.

    Rates that are unknown (of 0 decisions all are) stand in the text and not in the metadata.
    """
    return "\n".join([*_metadata(evidence), "", *_body(evidence)])


def _metadata(evidence: Evidence) -> Iterator[str]:
    """JSON texts are YAML, so that no content can break the block."""
    yield "---"
    (licence,) = evidence.ask(LICENCE).answers
    if not licence.open:
        yield "license: other"
        yield f"license_name: {json.dumps(licence.answer, ensure_ascii=False)}"
    yield "library_name: boarfish"
    task = TASKS.get(evidence.kind)
    if task:
        yield f"pipeline_tag: {task}"
    yield "tags:"
    yield "- boarfish"
    results = {name: found for name, found in evidence.quality.items() if found.known}
    if results and task:
        yield "model-index:"
        yield f"- name: {json.dumps(evidence.deployment)}"
        yield "  results:"
        yield "  - task:"
        yield f"      type: {task}"
        yield "    dataset:"
        yield f"      name: {json.dumps(f'{evidence.task}, {evidence.period}', ensure_ascii=False)}"
        yield f"      type: {json.dumps(evidence.deployment)}"
        yield "    metrics:"
        for name, found in results.items():
            yield f"    - type: {name}"
            yield f"      name: {words(name)}"
            yield f"      value: {found.value:.6g}"
    yield "---"


def _body(evidence: Evidence) -> Iterator[str]:
    yield f"# {_line(evidence.task)}"
    yield ""
    for section in _sections(evidence):
        yield from _markdown(section, 2)


def _sections(evidence: Evidence) -> Iterator[Section]:
    yield Section(
        "Model Details",
        (
            Text(f"{evidence.kind}. {evidence.decision}"),
            Text(f"Model version {evidence.model_version}, written up {evidence.made}."),
            evidence.ask(CONTACT, LICENCE),
        ),
    )
    yield Section(
        "Uses",
        (),
        (
            Section("Direct Use", (Text(evidence.action), Text(evidence.positive_decision_means))),
            Section("Out-of-Scope Use", (evidence.ask(OUT_OF_SCOPE),)),
        ),
    )
    yield Section(
        "Bias, Risks, and Limitations",
        (Text(evidence.known_limits), Items(evidence.findings), evidence.ask(CAVEATS)),
    )
    yield Section(
        "Training Details",
        (
            Text(evidence.composition),
            Text(evidence.collection),
            Text(f"{evidence.source} {evidence.licence}"),
        ),
    )
    yield Section(
        "Evaluation",
        (Text(f"Held out: {evidence.split}."), quality_table(evidence), Text(evidence.baseline)),
        (groups_section(evidence, "Results by group"),),
    )


def _markdown(section: Section, level: int) -> Iterator[str]:
    yield f"{'#' * level} {_line(section.title)}"
    yield ""
    for block in section.blocks:
        yield from _block(block)
        yield ""
    for part in section.parts:
        yield from _markdown(part, level + 1)


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Text):
        yield _line(block.text)
    elif isinstance(block, Items):
        for item in block.items:
            yield f"- {_line(item)}"
    elif isinstance(block, Questions):
        for one in block.answers:
            told = "*Open: a person has yet to answer.*" if one.open else _line(one.answer)
            yield f"- **{_line(one.question)}** {told}"
    else:
        yield from _table(block)


def _table(table: Table) -> Iterator[str]:
    yield _line(table.caption)
    yield ""
    yield f"| {' | '.join(map(_cell, table.columns))} |"
    yield "|" + " --- |" * len(table.columns)
    for row in table.rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _cell(cell: Cell) -> str:
    if isinstance(cell, Mark):
        return f"**{_line(cell.text)}**"
    return _line(cell) if isinstance(cell, str) else ""


def _line(text: str) -> str:
    """One line in which Markdown sees no table, tag or heading of its own."""
    return re.sub(r"([\\|<>*_`#\[\]])", r"\\\1", " ".join(text.split()))
