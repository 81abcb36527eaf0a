"""Statistics over runs: metrics, aggregates and their intervals. Pure functions on frames."""
