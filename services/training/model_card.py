"""The model card: what a model version is for, how good it is, for whom, and where it must not be trusted.

Source of its sections: Mitchell and others, "Model Cards for Model Reporting" (2019). Markdown, made by a
pure function.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from boarfish.v1 import common_pb2, task_pb2, training_pb2

METRIC_NAMES = {
    "auc": "Area under the ROC curve (0.5 is chance, 1 perfect)",
    "accuracy": "Accuracy (share that is right)",
    "macro_f1": "F1 averaged over classes (1 is perfect)",
    "micro_f1": "F1 over all labels together (1 is perfect)",
    "macro_auc": "Area under the ROC curve, averaged over labels (0.5 is chance, 1 perfect)",
    "mean_iou": "Intersection over union, averaged over classes (1 is perfect)",
    "r2": "Share of the variance that is explained (1 is perfect)",
    "rmse": "Root of the mean squared error, in the target's unit",
    "mse": "Mean squared error",
    "mae": "Mean absolute error, in the target's unit",
    "perplexity": "Perplexity (1 is perfect)",
    "brier": "Brier score (0 is perfect)",
    "log_loss": "Log loss (0 is perfect)",
    "cross_entropy": "Cross-entropy (0 is perfect)",
}


SHOWN_FINDINGS = 12


@dataclass(frozen=True)
class SubgroupRow:
    """One group of people, or a crossing of groups, in the validation rows.

    `findings` are sentences on rates that differ surely from everyone else's, `note` why it is not rated.
    """

    group: Mapping[str, str]
    display_name: str
    count: int
    rates: Mapping[str, common_pb2.Estimate]
    findings: Sequence[str] = ()
    note: str = ""


def model_card(
    task: task_pb2.Task,
    version: training_pb2.ModelVersion,
    *,
    train_count: int,
    valid_count: int,
    subgroups: Sequence[SubgroupRow],
) -> str:
    """The card of `version` in Markdown."""
    parts = [
        f"# {task.display_name or task.name}: {version.model}",
        _purpose(task),
        _quality(task, version, valid_count),
        _subgroups(task, subgroups),
        _data(task, version, train_count, valid_count),
        _limits(task, version),
        _making(version),
    ]
    return "\n\n".join(parts) + "\n"


def _purpose(task: task_pb2.Task) -> str:
    return "\n\n".join(
        [
            "## What it is for",
            f"**Action.** {_sentence(task.purpose.action)}",
            f"**What a positive decision means.** {_sentence(task.purpose.positive_decision_means)}",
            f"**How to know that it helped.** {_sentence(task.purpose.outcome_measure)}",
            f"{_gives(task)} It is not meant for anything else.",
        ]
    )


def _gives(task: task_pb2.Task) -> str:
    target, decision = task.target, task.decision
    what = f"{target.name}{_described(target.description)}"
    if task.kind == task_pb2.TASK_KIND_BINARY_CLASSIFICATION:
        return (
            f"It gives the probability that {target.name} is {target.positive_value}"
            f"{_described(target.description)}. From {decision.threshold:g} up the decision is "
            f"“{decision.positive_label}”, below it “{decision.negative_label}”."
        )
    if task.kind == task_pb2.TASK_KIND_MULTICLASS_CLASSIFICATION:
        return f"It gives the probability of each of {len(target.classes)} classes of {what}."
    if task.kind == task_pb2.TASK_KIND_MULTILABEL_CLASSIFICATION:
        return f"It gives the probability of each of {len(target.classes)} labels of {what}."
    if task.kind == task_pb2.TASK_KIND_SEGMENTATION:
        return f"It gives each pixel's class, one of {', '.join(target.classes)}: {what}."
    if task.kind == task_pb2.TASK_KIND_LANGUAGE_MODEL:
        return "It gives the probability of each next token of a text."
    more = f" and {len(target.more_columns)} numbers more" if target.more_columns else ""
    return f"It gives a number{more}: {what}."


def _quality(task: task_pb2.Task, version: training_pb2.ModelVersion, valid_count: int) -> str:
    baseline = version.baseline
    lines = [
        "## How good it is",
        "",
        baseline.statement,
        "",
        f"On {valid_count:,} rows that it was not trained on, with 95 % intervals:",
        "",
        f"| Metric | This model | {_capital(baseline.rule)} |",
        "| --- | --- | --- |",
    ]
    # A proto map has no order of its own.
    for name in sorted(version.metrics, key=_place):
        estimate = version.metrics[name]
        beside = _shown(baseline.baseline) if name == baseline.metric else ""
        lines.append(f"| {METRIC_NAMES.get(name, name)} | {_shown(estimate)} | {beside} |")
    warnings = [
        f"{name}: {warning}" for name, estimate in version.metrics.items() for warning in estimate.warnings
    ]
    if warnings:
        lines += ["", "Read with care: " + "; ".join(warnings) + "."]
    return "\n".join(lines)


def _subgroups(task: task_pb2.Task, subgroups: Sequence[SubgroupRow]) -> str:
    title = "## For whom"
    if not subgroups:
        unknown = (
            "The task names no sensitive attribute, so nothing is known of how it treats groups of people."
        )
        return f"{title}\n\n{unknown}"
    names = list(dict.fromkeys(name for row in subgroups for name in row.rates))
    lines = [
        title,
        "",
        f"The same rows by group; {_smallest(task)} is not rated. "
        "None of these attributes is an input. Groups also differ in how many of them are truly positive: "
        "a difference in a rate is a question to ask, not yet an answer.",
        "",
        "| Group | People | " + " | ".join(_capital(name.replace("_", " ")) for name in names) + " |",
        "| --- | --- |" + " --- |" * len(names),
    ]
    for row in subgroups:
        if len(row.group) == 1:
            cells = [_shown(row.rates[name]) if name in row.rates else "not rated" for name in names]
            lines.append(f"| {_cell(row.display_name)} | {row.count:,} | " + " | ".join(cells) + " |")
    findings = [finding for row in subgroups for finding in row.findings]
    if findings:
        lines += [
            "",
            "What surely differs from everyone else, after correction for how many groups were looked at:",
            "",
        ]
        lines += [f"- {_line(finding)}" for finding in findings[:SHOWN_FINDINGS]]
        if len(findings) > SHOWN_FINDINGS:
            lines += [f"- and {len(findings) - SHOWN_FINDINGS} more, in evaluation.json"]
    return "\n".join(lines)


def _smallest(task: task_pb2.Task) -> str:
    size = task.watch.minimum_group_size
    return f"a group of fewer than {size}" if size else "a small group"


def _data(task: task_pb2.Task, version: training_pb2.ModelVersion, train_count: int, valid_count: int) -> str:
    sheet = task.datasheet
    return "\n\n".join(
        [
            "## Data",
            f"Dataset {version.dataset}, version {version.dataset_version}: {train_count:,} rows to train, "
            f"{valid_count:,} held out ({_split(task.split)}).",
            f"**Why it was made.** {_sentence(sheet.motivation)}",
            f"**What is in it.** {_sentence(sheet.composition)}",
            f"**How it was collected.** {_sentence(sheet.collection)}",
            f"**Source.** {_sentence(sheet.source)} {_sentence(sheet.licence)}",
        ]
    )


def _limits(task: task_pb2.Task, version: training_pb2.ModelVersion) -> str:
    lines = ["## Limits", "", _sentence(task.datasheet.known_limits)]
    if version.warnings:
        lines += ["", "What was doubtful when it was made:", ""]
        lines += [f"- {_line(warning)}" for warning in version.warnings]
    still_open = [one.question for one in task.ethics_checklist if not one.answer]
    if still_open:
        lines += ["", "Questions of the ethics checklist that nobody has answered yet:", ""]
        lines += [f"- {_line(question)}" for question in still_open]
    return "\n".join(lines)


def _making(version: training_pb2.ModelVersion) -> str:
    lines = [
        "## How it was made",
        "",
        f"Training job {version.training_job_id}, {version.create_time.ToDatetime():%d %B %Y, %H:%M} UTC.",
        "",
        "| Setting | Value |",
        "| --- | --- |",
    ]
    # A proto map has no order of its own.
    settings = sorted(version.parameters.items())
    return "\n".join([*lines, *(f"| {_cell(name)} | {_cell(value)} |" for name, value in settings)])


def _place(metric: str) -> tuple[int, str]:
    known = list(METRIC_NAMES)
    return (known.index(metric) if metric in METRIC_NAMES else len(known), metric)


def _split(split: task_pb2.Split) -> str:
    words = {
        task_pb2.SPLIT_METHOD_RANDOM: f"at random, seed {split.seed}",
        task_pb2.SPLIT_METHOD_TIME: f"the latest by {split.column}",
        task_pb2.SPLIT_METHOD_GROUP: f"whole groups of {split.column}, seed {split.seed}",
        task_pb2.SPLIT_METHOD_COLUMN: f"marked by {split.column}",
    }
    return words[split.method]


def _shown(estimate: common_pb2.Estimate) -> str:
    if not math.isfinite(estimate.value):
        return "too few to say"
    if not (math.isfinite(estimate.lower) and math.isfinite(estimate.upper)):
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.lower:.3f} to {estimate.upper:.3f})"


def _described(description: str) -> str:
    return f" ({_line(description)})" if description else ""


def _line(text: str) -> str:
    return " ".join(text.split())


def _sentence(text: str) -> str:
    return _line(text).rstrip(".") + "."


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
