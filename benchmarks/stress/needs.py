"""Requirements of environment perturbations on a policy and its task."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.envs.observations import LIDAR
from benchmarks.methods import method
from benchmarks.stress.perturbation import Needs, Policy


def _needs(what: str, there: Callable[[Policy], bool]) -> Needs:
    """A requirement at every strength: `what`, unless `there`."""
    return lambda policy, strength: "" if there(policy) else what


def _dimensions(policy: Policy) -> set[int]:
    return {len(array.shape) for array in policy.env.obs.values()}


def _arena_of(*tasks: str) -> Needs:
    what = f"an arena with room for other layouts ({', '.join(tasks)})"
    return _needs(what, lambda it: it.task.name in tasks)


flat = _needs("a flat observation", lambda it: 1 in _dimensions(it))
pictures = _needs("pictures", lambda it: 3 in _dimensions(it))
lidar = _needs("lidar", lambda it: any(part.endswith(LIDAR) for part in it.env.layout))
lidar_of_hazards = _needs("a lidar of hazards", lambda it: f"hazards{LIDAR}" in it.env.layout)
physics = _needs("a simulator of Safety-Gymnasium", lambda it: not it.task.custom)
hazards = _needs("hazards", lambda it: it.env.hazard_size > 0)
goal = _needs("a goal of Safety-Gymnasium's Goal tasks", lambda it: it.task.name == "Goal")
walls = _needs("walls that cost (Circle, Run)", lambda it: "sigwalls" in it.env.costly)
bound = _needs(
    "walls (Circle, Run) or a speed limit that costs",
    lambda it: bool({"sigwalls", "velocity"} & set(it.env.costly)),
)
# robot and objects are placed anywhere in the arena; in Button they barely fit
roomy_arena = _arena_of("Goal", "Push", "FadingEasy", "FadingHard")
arena = _arena_of("Goal", "Push", "FadingEasy", "FadingHard", "Button")


def scene(policy: Policy, strength: float) -> str:
    rendered = "pictures that Safety-Gymnasium renders" if policy.task.custom else ""
    return pictures(policy, strength) or rendered


def friction(policy: Policy, strength: float) -> str:
    sliding = policy.task.agent == "Point"  # planar joints: no weight rests on the floor
    return "wheels or legs" if sliding else physics(policy, strength)


def countable_hazards(policy: Policy, strength: float) -> str:
    if policy.spec.obs == "coordinates":
        return "an observation whose size does not follow from the number of hazards"
    return hazards(policy, strength)


def predicted_costs(policy: Policy, strength: float) -> str:
    del strength
    # Policies do not observe costs when acting, so only predictions of costs would change.
    if policy.trained.entry is not None:
        return "the decoder of its run, which the zoo does not keep"
    ours = method(policy.spec.method).family == "safedreamer" and policy.spec.agent.use_cost
    return "" if ours else "a world model of SafeDreamer's family that predicts costs"
