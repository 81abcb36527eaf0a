"""Requirements of environment perturbations on a policy and its task."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.envs.observations import LIDAR
from benchmarks.methods import method
from benchmarks.stress.perturbation import Needs, Subject


def _needs(what: str, there: Callable[[Subject], bool]) -> Needs:
    """A requirement at every strength: `what`, unless `there`."""
    return lambda subject, strength: "" if there(subject) else what


def _dimensions(subject: Subject) -> set[int]:
    return {len(array.shape) for array in subject.env.obs.values()}


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


def scene(subject: Subject, strength: float) -> str:
    rendered = "pictures that Safety-Gymnasium renders" if subject.task.custom else ""
    return pictures(subject, strength) or rendered


def friction(subject: Subject, strength: float) -> str:
    sliding = subject.task.agent == "Point"  # planar joints: no weight rests on the floor
    return "wheels or legs" if sliding else physics(subject, strength)


def countable_hazards(subject: Subject, strength: float) -> str:
    if subject.spec.obs == "coordinates":
        return "an observation whose size does not follow from the number of hazards"
    return hazards(subject, strength)


def predicted_costs(subject: Subject, strength: float) -> str:
    del strength
    # Policies do not observe costs when acting, so only predictions of costs would change.
    if subject.trained.entry is not None:
        return "the decoder of its run, which the zoo does not keep"
    ours = method(subject.spec.method).family == "safedreamer" and subject.spec.agent.use_cost
    return "" if ours else "a world model of SafeDreamer's family that predicts costs"
