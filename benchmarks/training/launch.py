"""Launches a run from its spec, with factories of the real environment and agent for the loop."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import shlex
from pathlib import Path

from agents.api import Agent, EnvSpec, PyTree
from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.config import SafeDreamerConfig
from agents.safedreamer.release.params import load_agent
from benchmarks.envs import EnvFactory
from benchmarks.envs.worker import env_factory, probed
from benchmarks.methods import method
from benchmarks.methods.saved import newest
from benchmarks.process.options import option
from benchmarks.runs import checkpoint
from benchmarks.runs.errors import BadInput, as_bad_input
from benchmarks.runs.folder import check
from benchmarks.runs.identity import flatten
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.spec import RunSpec
from benchmarks.training.loop import Options, Result, train


def environment(spec: RunSpec) -> tuple[EnvFactory, EnvSpec]:
    """The factory of the spec's environments, and the env spec that agents are built from.

    Makes one environment. Raises BadInput if that fails.
    """
    make = env_factory(spec.task, spec.obs, spec.loop.action_repeat, spec.loop.resize)
    return make, probed(make)


def agent_for(spec: RunSpec, env_spec: EnvSpec) -> Agent:
    """The agent of the spec's method for this environment spec.

    Raises BadInput if its settings do not fit the environment, or JAX lacks the devices that its
    environment variables request.
    """
    check_devices()
    with as_bad_input():
        return method(spec.method).agent(spec.agent, env_spec)


def check_devices() -> None:
    """Raise BadInput if JAX cannot use the platform that JAX_PLATFORMS requests."""
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the latter if a platform has no plugin
        asked = os.environ.get("JAX_PLATFORMS")
        said = one_line(str(error), 200) or "no plugin for it is installed"
        fix = (
            f"unset JAX_PLATFORMS={asked}, or install what it needs (`make cuda`)"
            if asked
            else "see `safedreamer doctor`"
        )
        raise BadInput(f"JAX finds no device ({said}): {fix}") from error


def trained_agent(
    spec: RunSpec, saved: str | os.PathLike[str], env_spec: EnvSpec
) -> tuple[Agent, PyTree]:
    """The spec's agent and its learner state from a checkpoint of the suite.

    Raises BadInput if they do not match.
    """
    agent = agent_for(spec, env_spec)
    return agent, checkpoint.load(Path(saved), checkpoint.LEARNER, agent.init(spec.seed))


def official_agent(
    path: str | os.PathLike[str],
    env_spec: EnvSpec,
    config: SafeDreamerConfig,
    stoch: int | None = None,
) -> tuple[SafeDreamer, PyTree]:
    """Agent and learner state of an authors' checkpoint.

    Sizes come from the file, everything else from `config`.

    `stoch`, the number of latent variables, is required if it differs from their number of classes,
    because the file does not contain it. Raises BadInput if the file is not such a checkpoint or
    was trained on other observations or actions.
    """
    with as_bad_input(str(path), (ValueError, OSError)):
        return load_agent(Path(path), env_spec, config, stoch=stoch)


def initial_state(spec: RunSpec, env_spec: EnvSpec) -> PyTree:
    """The learner state of `init_from`: that of the newest checkpoint of a run folder, or one with
    the parameters of an authors' checkpoint.

    Raises BadInput if its sizes differ from the spec's.
    """
    if Path(spec.init_from).is_dir():
        return _state_of_run(spec, env_spec)
    model = spec.agent.model
    stoch = model.stoch if model.stoch != model.classes else None
    agent, state = official_agent(Path(spec.init_from), env_spec, spec.agent, stoch)
    theirs, ours = (flatten(dataclasses.asdict(config)) for config in (agent.config, spec.agent))
    words = [option(name, value) for name, value in theirs.items() if ours[name] != value]
    if words:
        raise BadInput(
            f"{spec.init_from} has other sizes than this configuration: add "
            f"{shlex.join(itertools.chain(*words))}"
        )
    return state


def _state_of_run(spec: RunSpec, env_spec: EnvSpec) -> PyTree:
    """The full learner state of another run; replay and counters start afresh."""
    saved = newest(spec.init_from)
    families = [method(each.method).family for each in (saved.spec, spec)]
    if families[0] != families[1]:
        raise BadInput(
            f"{spec.init_from} was trained with {saved.spec.method}, whose parameters are not "
            f"those of {spec.method}"
        )
    if checkpoint.fingerprint(saved.checkpoint) != spec.init_sha256:
        raise BadInput(
            f"{spec.init_from} has trained on since this run was made: choose --out anew"
        )
    try:
        return trained_agent(spec, saved.checkpoint, env_spec)[1]
    except BadInput as error:
        raise BadInput(
            f"{spec.init_from} ({saved.spec.task}, {saved.spec.obs}, preset {saved.spec.preset}) "
            f"has other shapes than this run: {error}"
        ) from error


def launch(spec: RunSpec, out: str | os.PathLike[str], options: Options = Options()) -> Result:
    """Train `spec` in `out` on its real task (see benchmarks.training.loop.train).

    Raises BadInput for invalid combinations before anything starts.
    """
    if spec.init_from:
        options = options._replace(init_state=functools.partial(initial_state, spec))
    check(spec, Path(out))
    make, env_spec = environment(spec)
    agent = agent_for(spec, env_spec)
    return train(spec, out, make, lambda _: agent, options)
