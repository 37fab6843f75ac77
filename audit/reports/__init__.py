"""Reports on a profile beside its reference, and documents: JSON for machines, a page for people."""

from audit.reports.report import Thresholds, build_report
from audit.reports.report_page import render_html

__all__ = ["Thresholds", "build_report", "render_html"]
