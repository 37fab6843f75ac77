"""Mergeable summaries of many rows: what a check needs, at a cost that does not depend on how many rows
there were.
"""
