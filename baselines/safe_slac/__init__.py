"""Safe SLAC: soft actor-critic with a safety critic on the latent of a learned two-level model
(arXiv:2210.01801).
"""
