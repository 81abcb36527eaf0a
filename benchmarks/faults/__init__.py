"""Fault injection into real training processes, with checks that the run ends as it should."""
