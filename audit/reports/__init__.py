"""Reports on a profile beside its reference: a dictionary for machines, a self-contained page for people."""

from audit.reports.page import render_html
from audit.reports.report import Thresholds, build_report

__all__ = ["Thresholds", "build_report", "render_html"]
