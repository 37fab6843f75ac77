"""A task file's mistakes are named by line and key, all of them, and nothing else is ever raised."""

import contextlib
from pathlib import Path

import pytest
from boarfish import TaskFileError, load_task, parse_task
from boarfish.task_checks import check_task
from boarfish.v1 import task_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

TASK = Path("examples/employment/task.yaml")
TEXT = TASK.read_text()


def line_of(text: str, needle: str) -> int:
    return text[: text.index(needle)].count("\n") + 1


def mistakes(text: str) -> str:
    with pytest.raises(TaskFileError) as caught:
        parse_task(text, "task.yaml")
    return caught.value.message


def test_the_demos_task_loads():
    task = load_task(TASK)
    assert task.kind == task_pb2.TASK_KIND_BINARY_CLASSIFICATION
    assert [attribute.name for attribute in task.sensitive] == ["SEX", "RAC1P"]
    assert len(task.features) == 14
    assert check_task(task) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "type: numeric",
            "type: nmber",
            "features[0].type: 'nmber' is not one of its values; did you mean numeric?",
        ),
        ("features:", "featurs:", "featurs: is not a known key; did you mean features?"),
        ("epochs: 8", "epochs: five", "tabular_net.epochs: is 'five'; must be a whole number"),
        ("epochs: 8", "epochs: 1.5", "tabular_net.epochs: is '1.5'; must be a whole number"),
        ("epochs: 8", "epochs: [8]", "must be a whole number, not a list or mapping"),
        ("epochs: 8", "epochs: -1", "is -1; must be from 0 to 4294967295"),
        ("epochs: 8", "epochs: 0", "must be greater than or equal to 1"),
        ("validation_share: 0.2", "validation_share: 2", "must be greater than 0 and less than 1"),
        ("validation_share: 0.2", "validation_share: yes", "must be a number"),
        ('positive_value: "1"', 'positive_value: "0"', "is the same as positive_value"),
        ("method: random", "method: group", "split.column: is missing"),
        ("method: random", "method: time\n  column: employed", "split.column: employed is the target"),
        ("minimum: 0", "minimum: 500", "features[0].maximum: is 120, below the minimum 500"),
        ("  - name: SEX", "  - name: AGEP", "a sensitive attribute must not be a model input"),
        ("name: employment\n", "name: employment\nname: again\n", "name: stands twice; keep one"),
        ("name: employment\n", "name: Bad Name\n", "name: does not match regex pattern"),
        ("split:\n", "split: *other\n", "uses a YAML alias (*name); write the value out"),
        ("  method: random", "\tmethod: random", "is not YAML"),
        ('"0": under 3 years old', '"none": under 3 years old', "'none' is not a whole number"),
        ("split:\n", "split: 3\nrest:\n", "split: must be a mapping of method"),
        ("epochs: 8", "epochs: !foo 8", "tabular_net.epochs: is '8'; must be a whole number"),
        ("epochs: 8", "epochs: !!int abc", "is 'abc'; must be a whole number"),
        ("epochs: 8", "epochs: 2018-13-45", "is '2018-13-45'; must be a whole number"),
        ("epochs: 8", "epochs: " + "1" * 5000, "…'; must be a whole number"),
        ("validation_share: 0.2", "validation_share: " + "1" * 400, "…'; must be a number"),
        ("minimum: 0", "minimum: .nan", "features[0].minimum: is '.nan'; must be a number"),
        ("maximum: 120", "maximum: .inf", "features[0].maximum: is '.inf'; must be a number"),
        ("name: employment\n", 'name: "\\ud800"\n', "name: has half a surrogate pair"),
        ('"0": under 3 years old', '"\\ud800": x', "features[1].values: has a key with half a surrogate"),
        ('"0": under 3 years old', '"0": "\\ud800"', 'features[1].values["0"]: has half a surrogate'),
        ('"0": under 3 years old', '"0":', 'features[1].values["0"]: must be a text that says'),
        ('"0": under 3 years old', "? [1]\n      : x", "features[1].values: has a list or mapping as a key"),
        ('"0": under 3 years old', '"--3": x', "'--3' is not a whole number as a code is written"),
        ('"0": under 3 years old', '"٣": x', "'٣' is not a whole number as a code is written"),
        ('"0": under 3 years old', f'"{2**63}": x', "is not a whole number as a code is written"),
        ("    - gradient_boosting:", "      gradient_boosting:", "cannot stand beside tabular_net; keep one"),
        ("kind: binary_classification\n", "", "kind: "),
        ("rung: assisted", "rung: moon", "gates[0].rung: must be in list"),
        ("rung: assisted", "rung: full", "a rung has one gate: put its conditions together"),
        (
            "minimum_accuracy: 0.7",
            "minimum_accuracy: 1.5",
            "gates[0].minimum_accuracy: must be greater than 0",
        ),
        (
            "largest_subgroup_gap: {false_positive_rate: 0.1, false_negative_rate: 0.1}",
            "largest_subgroup_gap: {crossings: true}",
            "gates[1].largest_subgroup_gap: names no rate",
        ),
        (
            "    maximum_open_alerts: 5",
            "    maximum_open_alerts: 5\n  - rung: canary",
            "gates[1]: asks for nothing",
        ),
    ],
)
def test_a_mistake_is_named_by_line_and_key(old, new, said):
    text = TEXT.replace(old, new, 1)
    assert text != TEXT
    message = mistakes(text)
    assert said in message
    assert message.startswith("task.yaml:")


def test_a_gate_asks_only_for_what_the_task_can_answer():
    task = load_task(TASK)
    del task.gates[:]
    gate = task.gates.add(rung="full", checklist_answered=True)
    gate.largest_subgroup_gap.selection_rate = 0.1
    assert check_task(task) == []
    del task.sensitive[:]
    del task.ethics_checklist[:]
    assert {violation.field for violation in check_task(task)} == {
        "gates[0].largest_subgroup_gap",
        "gates[0].checklist_answered",
    }
    other = load_task("examples/digits/task.yaml")
    other.gates.add(rung="full", audit_within_days=7)
    assert {violation.field for violation in check_task(other)} == {"gates[0]"}


def test_the_line_is_that_of_the_value():
    text = TEXT.replace("type: numeric", "type: nmber", 1)
    assert mistakes(text).startswith(f"task.yaml:{line_of(text, 'type: nmber')}: ")


def test_a_rule_of_the_protos_is_told_at_its_line():
    text = TEXT.replace("validation_share: 0.2", "validation_share: 2", 1)
    assert mistakes(text).startswith(f"task.yaml:{line_of(text, 'validation_share: 2')}: ")


def test_every_mistake_is_listed_in_order_of_lines():
    text = TEXT.replace("type: numeric", "type: nmber", 1).replace("epochs: 8", "epochs: five", 1)
    lines = mistakes(text).splitlines()
    assert len(lines) == 2
    assert "features[0].type" in lines[0]
    assert "epochs" in lines[1]


def test_what_contradicts_itself_is_told_for_a_task_of_any_origin():
    task = load_task(TASK)
    task.features[0].minimum = float("nan")
    task.features[1].values["--3"] = "x"
    task.sensitive[0].band_edges.append(float("inf"))
    found = {violation.field for violation in check_task(task)}
    assert {"features[0].minimum", 'features[1].values["--3"]', "sensitive[0].band_edges"} <= found


def test_a_thousand_mistakes_are_told_by_a_hundred_lines_and_their_number():
    lines = mistakes("".join(f"key{number}: 1\n" for number in range(1000))).splitlines()
    assert len(lines) == 101
    assert lines[-1] == "task.yaml:101: and 900 more mistakes"


def test_a_character_that_yaml_has_no_place_for_is_told_at_its_line():
    assert mistakes("name: x\nkind: \x00").startswith("task.yaml:2: is not YAML: unacceptable character")


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "[]", "a: [", "3", "null", "{" * 200, "- " * 200 + "x", "a: &b [*b]"]
)
def test_what_is_no_task_is_said_to_be_none(text):
    assert mistakes(text).startswith("task.yaml:")


def test_a_huge_file_and_one_that_is_not_utf8_are_refused(tmp_path):
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"x" * 10_000_000)
    with pytest.raises(TaskFileError, match="at most"):
        load_task(huge)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: x\ndisplay_name: é".encode("latin-1"))
    with pytest.raises(TaskFileError, match=r"latin\.yaml:2: is not UTF-8 text"):
        load_task(latin)


scalars = st.sampled_from(
    [
        "!foo 1",
        "!!int x",
        "!!float x",
        "!!binary '@'",
        "2018-13-45",
        ".nan",
        '"\\ud800"',
        "1:90",
        "0x",
        "~",
        "&a b",
    ]
) | st.text(max_size=12)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, TEXT.count(": ") - 1), scalars)
def test_whatever_stands_for_a_value_it_loads_or_is_told(place, scalar):
    parts = TEXT.split(": ")
    parts[place + 1] = scalar + parts[place + 1][len(parts[place + 1].split("\n")[0]) :]
    with contextlib.suppress(TaskFileError):
        parse_task(": ".join(parts))


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
task_keys = st.sampled_from([field.name for field in task_pb2.Task.DESCRIPTOR.fields])


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=200), st.dictionaries(task_keys, yaml_values, max_size=6)))
def test_nothing_but_a_task_file_error_is_ever_raised(content):
    import yaml

    text = content if isinstance(content, str) else yaml.safe_dump(content)
    with pytest.raises(TaskFileError):
        parse_task(text)
