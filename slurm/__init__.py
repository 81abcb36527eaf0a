"""Executors, which run the runs of a sweep.

Plans, folders and states belong to benchmarks.sweep; an executor starts and stops processes.
"""
