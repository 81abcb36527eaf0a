"""Compares the predictions of a trained agent's world model with real episodes."""
