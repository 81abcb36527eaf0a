"""Definition of a perturbation: name, strength axis, what it changes, and its requirements.

Imports neither a simulator nor JAX.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.envs.factory import EnvFactory
from benchmarks.methods import method
from benchmarks.runs.errors import BadInput
from benchmarks.runs.spec import RunSpec
from benchmarks.suites.names import label
from benchmarks.tasks import Task, get_task

if TYPE_CHECKING:
    from agents.api import Agent, EnvSpec, PyTree
    from benchmarks.zoo.trained import Trained

UNDISTURBED = "none"  # perturbation of the cells at strength 0
OWN = "own"  # family of user-defined perturbations


class Policy(NamedTuple):
    """A trained policy and its environments."""

    spec: RunSpec  # with the settings that it acts with; `trained.spec` has those of training
    env: EnvSpec
    trained: Trained
    make: EnvFactory
    variant: str = ""  # variant of the suite, and changed settings

    @property
    def task(self) -> Task:
        return get_task(self.spec.task)

    @property
    def torch(self) -> bool:
        """Whether it acts in its own process, without JAX."""
        return method(self.spec.method).engine == "torch"

    @property
    def label(self) -> str:
        """Method name in the records, with the variant in brackets."""
        return label(self.spec.method, self.variant)

    @property
    def where(self) -> str:
        """Method, task and observation, for messages."""
        return f"{self.spec.method} on {self.spec.task} ({self.spec.obs})"


class Acting(NamedTuple):
    """An agent and its learner's state, used for acting."""

    agent: Agent
    state: PyTree


# policy and strength -> what the policy lacks, "" if nothing
Needs = Callable[[Policy, float], str]
ChangeEnv = Callable[[EnvFactory, float], EnvFactory]
# agent and state of the policy, strength
ChangeAgent = Callable[[Policy, Acting, float], Acting]


def possible(policy: Policy, strength: float = 0.0) -> str:
    """A requirement that every policy meets."""
    del policy, strength
    return ""


@dataclasses.dataclass(frozen=True)
class Perturbation:
    """A named change of the environment or of the policy's model; strength 0 is no change.

    `needs(policy, strength)` is what the policy lacks, or "". Exactly one is set of `env`, which
    changes how environments are made, and `agent`, which changes the agent of this process.
    """

    name: str
    family: str
    changes: str
    unit: str  # of strength
    strengths: tuple[float, ...]  # defaults, without 0
    needs: Needs = possible
    env: ChangeEnv | None = None
    agent: ChangeAgent | None = None
    whole: bool = False  # whether the strength is an integer
    at_most: float = math.inf  # largest valid strength

    def check_strength(self, strength: float) -> None:
        """Raise BadInput for an invalid strength."""
        spelled = f"{self.name}: strength {strength:g}"
        if not 0 < strength < math.inf:
            raise BadInput(f"{spelled} must be positive and finite: 0 is always played")
        if self.whole and strength != int(strength):
            raise BadInput(f"{spelled} must be whole: it counts {self.unit}")
        if strength > self.at_most:
            raise BadInput(f"{spelled} must be at most {self.at_most:g}")

    def refusal(self, policy: Policy, strength: float = 0.0) -> str:
        """Why the perturbation does not apply to the policy, or ""."""
        if self.agent is not None and policy.torch:
            return "a world model in JAX"
        return self.needs(policy, strength)


def wrapping(factory: str) -> ChangeEnv:
    """A ChangeEnv that adds the wrapper `module:factory`, called with the strength."""

    def change(make: EnvFactory, strength: float) -> EnvFactory:
        return dataclasses.replace(make, wrappers=(*make.wrappers, (factory, strength)))

    return change


def acting(perturbation: Perturbation, policy: Policy, it: Acting, strength: float) -> Acting:
    """The agent under the perturbation; `it` itself if environments are changed instead."""
    if perturbation.agent is None or not strength:
        return it
    return perturbation.agent(policy, it, strength)


def plain(value: Any) -> float | int:
    """A strength for display and files: integral values as int."""
    return int(value) if float(value).is_integer() else float(value)
