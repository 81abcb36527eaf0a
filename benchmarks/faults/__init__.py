"""Faults made on purpose, in real training processes.

What is killed, broken or filled up, and whether the run ends as it should.
"""
