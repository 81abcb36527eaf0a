"""Pictures of evaluation episodes.

What the simulator shows, what the agent sees, and what its world model expects.
"""
