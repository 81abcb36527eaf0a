"""Benchmarks of the agents' jitted functions at named settings: `python -m benchmarks.perf`."""
