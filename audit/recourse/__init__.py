"""Recourse: what a person can do about a decision, and how contests of decisions are going."""
