"""Requirements of environment perturbations on a policy and its task.

Each function of a subject and a strength returns what the subject lacks, or "".
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.methods import method
from benchmarks.stress.names import HAZARDS_LIDAR, LIDAR
from benchmarks.stress.perturbation import Needs, Subject


def flat(subject: Subject, strength: float) -> str:
    del strength
    one = any(len(shape) == 1 for shape, _ in subject.facts.obs.values())
    return "" if one else "a flat observation"


def pictures(subject: Subject, strength: float) -> str:
    del strength
    one = any(len(shape) == 3 for shape, _ in subject.facts.obs.values())
    return "" if one else "pictures"


def scene(subject: Subject, strength: float) -> str:
    if lacking := pictures(subject, strength):
        return lacking
    return "pictures that Safety-Gymnasium renders" if subject.task.custom else ""


def lidar(subject: Subject, strength: float) -> str:
    del strength
    return "" if any(part.endswith(LIDAR) for part in subject.facts.layout) else "lidar"


def lidar_of_hazards(subject: Subject, strength: float) -> str:
    del strength
    return "" if HAZARDS_LIDAR in subject.facts.layout else "a lidar of hazards"


def physics(subject: Subject, strength: float) -> str:
    del strength
    return "a simulator of Safety-Gymnasium" if subject.task.custom else ""


def friction(subject: Subject, strength: float) -> str:
    sliding = subject.task.agent == "Point"  # planar joints: no weight rests on the floor
    return "wheels or legs" if sliding else physics(subject, strength)


def hazards(subject: Subject, strength: float) -> str:
    del strength
    return "" if subject.facts.hazard_size > 0 else "hazards"


def countable_hazards(subject: Subject, strength: float) -> str:
    if subject.spec.obs == "coordinates":
        return "an observation whose size does not follow from the number of hazards"
    return hazards(subject, strength)


def goal(subject: Subject, strength: float) -> str:
    del strength
    return "" if subject.task.name == "Goal" else "a goal of Safety-Gymnasium's Goal tasks"


def walls(subject: Subject, strength: float) -> str:
    del strength
    return "" if "sigwalls" in subject.facts.costly else "walls that cost (Circle, Run)"


def bound(subject: Subject, strength: float) -> str:
    del strength
    bounded = {"sigwalls", "velocity"} & set(subject.facts.costly)
    return "" if bounded else "walls (Circle, Run) or a speed limit that costs"


def _arena_of(tasks: Sequence[str]) -> Needs:
    def lacking(subject: Subject, strength: float) -> str:
        del strength
        drawn = subject.task.name in tasks
        return "" if drawn else f"an arena with room for other layouts ({', '.join(tasks)})"

    return lacking


# robot and objects are placed anywhere in the arena; in Button they barely fit
roomy_arena = _arena_of(("Goal", "Push", "FadingEasy", "FadingHard"))
arena = _arena_of(("Goal", "Push", "FadingEasy", "FadingHard", "Button"))


def predicted_costs(subject: Subject, strength: float) -> str:
    del strength
    # Policies do not observe costs when acting, so only predictions of costs would change.
    if subject.trained.entry is not None:
        return "the decoder of its run, which the zoo does not keep"
    ours = method(subject.spec.method).family == "safedreamer" and subject.spec.agent.use_cost
    return "" if ours else "a world model of SafeDreamer's family that predicts costs"
