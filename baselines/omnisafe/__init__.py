"""OmniSafe 0.5.0 (Ji et al., 2024, arXiv:2305.09304).

Its algorithms, trained and resumed by a loop of ours, none of them copied.
"""
