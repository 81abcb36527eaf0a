"""SafeDreamer (Huang et al., ICLR 2024, arXiv:2307.07176).

World model, actor, critics, constrained planner.
"""
