"""Safety-Gymnasium's navigation and velocity tasks and users' environments, in one interface."""

import benchmarks.envs.compat  # noqa: F401 (first: it prepares what Gymnasium imports)
