"""Plans the cells of a policy, with the reasons why others are left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.envs.worker import probed
from benchmarks.stress.perturbation import OWN, Policy
from benchmarks.stress.play import NOTHING, Cell, check_alike, factory
from benchmarks.stress.registry import check
from benchmarks.stress.suite import Suite
from benchmarks.suites.acting import acting
from benchmarks.tasks import get_task

UNDISTURBED_CELL = Cell(NOTHING, 0.0)


class Plan(NamedTuple):
    """Cells of one policy, the undisturbed one first; name of each omission -> its reason."""

    policy: Policy
    cells: tuple[Cell, ...]
    left_out: Mapping[str, str]


def perturbed(policy: Policy, suite: Suite) -> Plan:
    """Plan every strength of every perturbation of the suite.

    Raises BadInput if the suite is strict and a perturbation does not apply to the policy.
    """
    cells, left_out = [UNDISTURBED_CELL], {}
    for perturbation, strengths in suite.perturbations:
        refusals = (perturbation.refusal(policy, strength) for strength in strengths)
        if lacking := next(filter(None, refusals), ""):
            if suite.strict:
                check(policy, perturbation, strengths)
            left_out[perturbation.name] = f"it needs {lacking}"
            continue
        if perturbation.family == OWN:  # a user's wrapper raises its objections when made
            factory(policy, Cell(perturbation, strengths[-1]))
        cells += [Cell(perturbation, strength) for strength in strengths]
    return Plan(policy, tuple(cells), left_out)


def transferred(policy: Policy, tasks: Sequence[str]) -> Plan:
    """Plan the policy's own task, then the others whose observations and actions match its own."""
    cells, left_out = [UNDISTURBED_CELL], {}
    for name in dict.fromkeys(tasks):
        if name == policy.spec.task:
            continue
        try:
            get_task(name).check_obs(policy.spec.obs)
            check_alike(policy, probed(dataclasses.replace(policy.make, task=name)), name)
        except ValueError as error:  # including BadInput
            left_out[name] = str(error)
            continue
        cells.append(Cell(NOTHING, 0.0, name))
    return Plan(policy, tuple(cells), left_out)


def with_settings(policy: Policy, values: Mapping[str, object]) -> Policy:
    """The policy acting with changed agent settings, which are added to its label.

    Raises BadInput for unknown settings and invalid values.
    """
    spec, changed = acting(policy.spec, values)
    variant = ", ".join(filter(None, [policy.variant, changed]))
    return policy._replace(spec=spec, variant=variant)
