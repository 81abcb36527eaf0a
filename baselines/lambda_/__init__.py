"""LAMBDA (As et al., ICLR 2022, arXiv:2201.09802).

A Bayesian world model, optimistic about reward and pessimistic about cost.
"""
