"""OmniSafe's algorithms under this suite's protocol: environments, training loop, evaluation and
process. Imports no JAX.
"""
