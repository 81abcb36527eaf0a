"""OmniSafe's algorithms under the protocol of this suite.

Environments, the loop of a run, its evaluation, its process. No JAX in here.
"""
