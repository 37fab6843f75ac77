"""Who is treated worse: rates by group and crossing, with intervals, minimum sizes and correction for many
looks.
"""
