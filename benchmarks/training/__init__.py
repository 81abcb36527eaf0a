"""The training loop: environments -> replay -> updates -> records; evaluation and resume."""
