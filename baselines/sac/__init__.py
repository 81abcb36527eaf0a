"""Soft actor-critic with a cost critic and a Lagrange multiplier: what Safe SLAC and the
model-based methods of baselines.mbpo share.
"""
