"""A task file's mistakes are named by line and key, all of them, and nothing else is ever raised."""

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
        (
            "method: random",
            "method: time\n  column: nowhere",
            "split.column: nowhere is not a column of this task",
        ),
        ("minimum: 0", "minimum: 500", "features[0].maximum: is 120, below the minimum 500"),
        ("  - name: SEX", "  - name: AGEP", "a sensitive attribute must not be a model input"),
        ("name: employment\n", "name: employment\nname: again\n", "name: stands twice; keep one"),
        ("name: employment\n", "name: Bad Name\n", "name: does not match regex pattern"),
        ("split:\n", "split: *other\n", "uses a YAML alias (*name); write the value out"),
        ("  method: random", "\tmethod: random", "is not YAML"),
        ('"0": under 3 years old', '"none": under 3 years old', "'none' is not a whole number"),
        ("split:\n", "split: 3\nrest:\n", "split: must be a mapping of method"),
    ],
)
def test_a_mistake_is_named_by_line_and_key(old, new, said):
    text = TEXT.replace(old, new, 1)
    assert text != TEXT
    message = mistakes(text)
    assert said in message
    assert message.startswith("task.yaml:")


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
