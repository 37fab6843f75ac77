"""Kinds of bias, a check each with evidence: where harm enters between the world and a decision.

The kinds are those of Suresh and Guttag, "A framework for understanding sources of harm throughout the
machine learning life cycle", EAAMO 2021, with amplification and proxies besides.
"""
