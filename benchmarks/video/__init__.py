"""Videos of evaluation episodes: simulator view, agent observations and world-model predictions."""
