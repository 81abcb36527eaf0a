"""Faults made on purpose, in real training processes: what is killed, broken or filled up, and whether the run ends as it should."""
