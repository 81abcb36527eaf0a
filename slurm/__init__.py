"""Executors: who runs the runs of a sweep.

Plans, folders and states are benchmarks.sweep's; an executor starts and stops processes.
"""
