"""Audit reports: one dictionary for machines, one self-contained page for people."""
