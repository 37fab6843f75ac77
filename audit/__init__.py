"""A plain library: profiles, drift, rot, subgroups, bias, feedback loops, gates, reports, the ledger."""
