"""Documents: evidence stands in them, what nobody answered is open, and nothing unknown is claimed."""

import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml

from audit.estimate import Estimate, unknown
from audit.intervals import proportion
from audit.reports.documents import DOCUMENTS, Evidence
from audit.reports.documents.bias_audit import tables_of
from audit.reports.documents.ethics_checklist import QUESTIONS
from audit.reports.documents.evidence import Column, GroupEvidence
from audit.reports.documents.hugging_face import hugging_face_card
from audit.reports.documents.model_card import CONTACT, LICENCE
from audit.reports.documents.model_card_toolkit import toolkit_card
from audit.reports.layout import as_json
from audit.reports.page import page_html


def rates(right: int, count: int) -> dict[str, Estimate]:
    return {
        "accuracy": proportion(right, count, of="labels"),
        "auc": Estimate(0.9, 0.85, 0.95, count=count) if count else unknown("no labels yet"),
        "false_positive_rate": proportion(count // 10, count, of="labels"),
        "false_negative_rate": proportion(count // 5, count, of="labels"),
        "selection_rate": proportion(count // 2, count, of="decisions"),
    }


def group(name: str, applicants: int, selected: int, **attributes: str) -> GroupEvidence:
    few = applicants < 100
    finding = (f"The model misses more people who are {name}.",) if name == "female" else ()
    note = f"{applicants} people: too few to rate" if few else ""
    return GroupEvidence(
        attributes, name, applicants, selected, rates(applicants * 4 // 5, applicants), note, finding
    )


def evidence(count: int = 2000, **more: Any) -> Evidence:
    given: dict[str, Any] = {
        "deployment": "loans",
        "model_version": "ab12" * 16,
        "made": "2026-11-24",
        "task": "Loans <of> a bank | small",
        "kind": "Binary classification",
        "action": "The bank offers a loan.",
        "positive_decision_means": "The loan is granted.",
        "outcome_measure": "Loans that are paid back.",
        "target": Column("paid", "target", "Paid back in time"),
        "features": (
            Column("income", "numeric", "A month, in euros"),
            Column("home", "code", "Owned or rented"),
        ),
        "sensitive": (Column("SEX", "code", "Sex"),),
        "decision": "From a score of 0.5 up the decision is “grant”, below it “refuse”.",
        "split": "rows at random, 20 %",
        "motivation": "Made to lend.",
        "composition": "Loans of ten years.",
        "collection": "From the bank's books.",
        "known_limits": "Refused people are not in it.",
        "source": "The bank.",
        "licence": "Not public.",
        "period": "2026-01-01 to 2026-03-01",
        "decision_count": count,
        "labelled_count": count,
        "reference_count": 500,
        "quality": rates(count * 4 // 5, count),
        "reference_quality": rates(420, 500),
        "baseline": "Always giving the more common answer would be right for 60.0 %.",
        "groups": (
            group("male", count // 2, count // 4, SEX="1"),
            group("female", count // 2 - 10, count // 6, SEX="2"),
        )
        if count > 20
        else (),
        "findings": ("Accuracy is 80.0 %.",),
        "watch": ("Compared every 7 days.",),
        "answers": {QUESTIONS[0]: ("Yes, as a trial.", "Ada"), CONTACT: ("Ada, at the bank.", "Ada")},
    }
    return Evidence(**{**given, **more})


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_every_document_is_a_whole_page_and_plain_json(kind: str) -> None:
    page = DOCUMENTS[kind](evidence())
    html = page_html(page)
    assert html.startswith("<!doctype html>")
    assert "Loans &lt;of&gt; a bank" in html
    assert "<of>" not in html
    assert html.count("<h1>") == 1
    assert html.count("<table>") == html.count("<caption>") == html.count("</table>")
    assert html.count("Open: a person has yet to answer.") == len(page.open_questions) > 0
    assert "nan" not in re.sub("<style>.*</style>", "", html, flags=re.DOTALL).lower().split()
    made = json.loads(json.dumps(as_json(page), allow_nan=False))
    assert [section["title"] for section in made["sections"]] == [one.title for one in page.sections]


@pytest.mark.parametrize("kind", DOCUMENTS)
@pytest.mark.parametrize("count", [0, 1, 5])
def test_of_no_one_of_one_and_of_five_nothing_is_claimed(kind: str, count: int) -> None:
    bare = evidence(count, groups=(), findings=(), motivation="", known_limits="", watch=())
    html = page_html(DOCUMENTS[kind](bare))
    json.dumps(as_json(DOCUMENTS[kind](bare)), allow_nan=False)
    if count == 0 and kind in ("model_card", "technical_documentation", "data_project_checklist"):
        assert "unknown: no labels yet" in html
    if kind in ("model_card", "technical_documentation", "ethics_checklist"):
        assert "names no sensitive attribute" in html


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_an_answer_closes_its_question_and_names_who_gave_it(kind: str) -> None:
    page = DOCUMENTS[kind](evidence())
    answers = {question.upper(): ("We know.", "Grace") for question in page.open_questions}
    closed = DOCUMENTS[kind](evidence(answers={**evidence().answers, **answers}))
    assert closed.open_questions == ()
    assert "We know. (Grace)" in page_html(closed)
    blank = DOCUMENTS[kind](evidence(answers=dict.fromkeys(page.open_questions, ("  ", "Grace"))))
    assert set(page.open_questions) <= set(blank.open_questions)


def test_the_ethics_checklist_asks_the_seven_questions_and_those_of_the_task() -> None:
    page = DOCUMENTS["ethics_checklist"](evidence(answers={"May children apply?": ("", "")}))
    assert page.open_questions == (*QUESTIONS, "May children apply?")
    html = page_html(page)
    assert "The model&#39;s is 80.0 %" in html
    assert "The model misses more people who are female." in html


def test_a_group_of_too_few_is_named_and_its_rates_are_not_shown() -> None:
    few = group("other", 7, 1, SEX="3")
    html = page_html(DOCUMENTS["model_card"](evidence(groups=(*evidence().groups, few))))
    assert "other: 7 people: too few to rate" in html
    assert '<th scope="row">other</th>' not in html


def test_the_technical_documentation_has_the_nine_points_of_annex_iv() -> None:
    page = DOCUMENTS["technical_documentation"](evidence())
    assert [section.title[:2] for section in page.sections] == [f"{point}." for point in range(1, 10)]


def test_the_data_project_checklist_has_its_six_parts() -> None:
    page = DOCUMENTS["data_project_checklist"](evidence())
    assert [section.title for section in page.sections] == [
        "Strategy",
        "Data",
        "Analytics",
        "Implementation",
        "Maintenance",
        "Constraints",
    ]


def test_the_bias_audit_divides_by_attribute_and_by_crossing() -> None:
    crossed = tuple(
        group(f"{sex} and {age}", 300, 100, SEX=sex, AGE=age) for sex in "12" for age in ("young", "old")
    )
    tables = tables_of(evidence(groups=(*crossed, *evidence().groups)))
    assert [(table.title, len(table.impacts)) for table in tables] == [("Sex", 2), ("AGE and Sex", 4)]
    assert [table.unknown_count for table in tables] == [10, 800]
    assert tables[0].impacts[1].ratio == pytest.approx((333 / 990) / (500 / 1000))


def test_hugging_faces_card_is_yaml_and_markdown() -> None:
    card = hugging_face_card(evidence(answers={LICENCE: ('mit: "ours"\n---', "Ada")}))
    _, head, body = card.split("---\n", 2)
    found = yaml.safe_load(head)
    assert found["pipeline_tag"] == "tabular-classification"
    assert found["license_name"] == 'mit: "ours"\n---'
    (result,) = found["model-index"][0]["results"]
    assert {"type": "accuracy", "name": "Accuracy", "value": 0.8} in result["metrics"]
    assert result["dataset"]["name"].startswith("Loans <of> a bank | small, 2026")
    headings = [line for line in body.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Model Details",
        "## Uses",
        "## Bias, Risks, and Limitations",
        "## Training Details",
        "## Evaluation",
    ]
    assert "# Loans \\<of\\> a bank \\| small" in body
    tables = [line for line in body.splitlines() if line.startswith("|")]
    assert {line.count("|") - line.count("\\|") for line in tables} == {4, 7}


def test_hugging_faces_card_of_no_decisions_has_no_results() -> None:
    nobody = evidence(0, groups=(), quality={name: unknown("no labels yet") for name in rates(0, 0)})
    found = yaml.safe_load(hugging_face_card(nobody).split("---\n")[1])
    assert "model-index" not in found
    assert "license" not in found


# Names and types of the properties in the toolkit's schema, version 0.0.2.
TEXT: Any = str
SCHEMA: dict[str, Any] = {
    "schema_version": TEXT,
    "model_details": {
        "name": TEXT,
        "overview": TEXT,
        "documentation": TEXT,
        "owners": [{"name": TEXT, "contact": TEXT}],
        "version": {"name": TEXT, "date": TEXT, "diff": TEXT},
        "licenses": [{"identifier": TEXT, "custom_text": TEXT}],
        "references": [{"reference": TEXT}],
        "citations": [{"style": TEXT, "citation": TEXT}],
    },
    "model_parameters": {
        "model_architecture": TEXT,
        "data": [{"name": TEXT, "link": TEXT, "sensitive": {"sensitive_data": [TEXT]}, "description": TEXT}],
        "input_format": TEXT,
        "output_format": TEXT,
    },
    "quantitative_analysis": {
        "performance_metrics": [
            {
                "type": TEXT,
                "value": float,
                "slice": TEXT,
                "confidence_interval": {"lower_bound": float, "upper_bound": float},
            }
        ]
    },
    "considerations": {
        "users": [{"description": TEXT}],
        "use_cases": [{"description": TEXT}],
        "limitations": [{"description": TEXT}],
        "tradeoffs": [{"description": TEXT}],
        "ethical_considerations": [{"name": TEXT, "mitigation_strategy": TEXT}],
    },
}


def fits(value: Any, schema: Any) -> bool:
    if isinstance(schema, dict):
        return isinstance(value, dict) and all(
            key in schema and fits(value[key], schema[key]) for key in value
        )
    if isinstance(schema, list):
        return isinstance(value, list) and all(fits(item, schema[0]) for item in value)
    return isinstance(value, schema)


def test_the_toolkits_card_fits_its_schema() -> None:
    card = json.loads(json.dumps(toolkit_card(evidence()), allow_nan=False))
    assert fits(card, SCHEMA)
    assert card["model_details"]["owners"] == [{"name": "Ada, at the bank."}]
    metrics = card["quantitative_analysis"]["performance_metrics"]
    assert {one["slice"] for one in metrics} == {"Decisions, 2026-01-01 to 2026-03-01", "male", "female"}
    assert all(one["confidence_interval"]["lower_bound"] <= one["value"] for one in metrics)


def test_the_toolkits_card_leaves_out_what_is_unknown() -> None:
    bare = replace(evidence(), quality={"accuracy": Estimate(math.nan)}, groups=(), answers={})
    card = toolkit_card(bare)
    assert fits(card, SCHEMA)
    assert card["quantitative_analysis"]["performance_metrics"] == []
    assert (card["model_details"]["owners"], card["model_details"]["licenses"]) == ([], [])
