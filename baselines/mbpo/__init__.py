"""Off-policy learning with a learned model: SAC alone, MBPO, Dyna and MVE, each with or without a
cost limit, as settings of one learner.
"""
