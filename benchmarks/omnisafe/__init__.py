"""OmniSafe's algorithms under the protocol of this suite.

Presets, environments, the loop of a run, its process. No JAX in here.
"""
