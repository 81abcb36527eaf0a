"""OmniSafe 0.5.0 (Ji et al., 2024, arXiv:2305.09304).

Trains and resumes its algorithms with our own loop, without copying any of them.
"""
