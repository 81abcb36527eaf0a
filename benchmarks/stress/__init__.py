"""Stress tests of trained policies: perturbations with a strength axis of sensors, actuators,
physics, tasks and world models, and the episodes that are played under them.
"""
