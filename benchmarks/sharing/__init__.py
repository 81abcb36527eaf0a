"""Trained runs for others: what is shared of a run folder, its card, and where it may go."""
