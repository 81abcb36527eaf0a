"""Pictures of evaluation episodes: what the simulator shows, what the agent sees, and what its world model expects."""
