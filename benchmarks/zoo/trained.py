"""A trained policy by the name that users give it: a run folder, `hub:TARGET` for a shared run, or
`zoo:METHOD/TASK/SEED`.

Names are read without JAX; parameters are loaded when asked for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.methods.saved import newest
from benchmarks.runs.spec import RunSpec
from benchmarks.sharing.fetching import HUB, run_folder
from benchmarks.suites.names import file_name
from benchmarks.zoo.entry import Entry, checked_file, find

if TYPE_CHECKING:
    from agents.api import Agent, EnvSpec, PyTree

ZOO = "zoo:"
MAX_NAME = 60  # characters of a name in the name of a file


class Trained(NamedTuple):
    """A policy and where its parameters are."""

    spec: RunSpec
    source: Path  # a checkpoint, or the folder of the zoo's entry
    env_steps: int  # of training
    agent_steps: int
    entry: Entry | None = None  # of the zoo, which keeps what acting reads and nothing else

    @property
    def folder(self) -> Path:
        """The run folder, or that of the zoo's entry."""
        return self.source if self.entry else self.source.parents[1]

    def load(self, env: EnvSpec) -> tuple[Agent, PyTree]:
        """The agent of this process, and its learner's state.

        Raises DamagedFile where the parameters do not fit.
        """
        if self.entry is not None:
            from benchmarks.zoo.states import load

            return load(self.entry, env)
        from benchmarks.training.launch import trained_agent

        return trained_agent(self.spec, self.source, env)

    def published(self) -> dict[str, Any] | None:
        """What a process of OmniSafe is told of a policy of the zoo; None for that of a run.

        Raises DamagedFile where its file is not the one of its card.
        """
        if self.entry is None:
            return None
        file = str(checked_file(self.entry))
        return {"file": file, "env_steps": self.env_steps, "agent_steps": self.agent_steps}


def named(text: str | os.PathLike[str]) -> bool:
    """Whether it names a policy that is no folder of the user's."""
    return os.fspath(text).startswith((ZOO, HUB))


def here(name: str) -> str:
    """How files in the current folder about a named policy begin: `zoo-bsrp_lag-PointCircle1-0`."""
    kind, _, rest = name.partition(":")
    return f"{kind}-{file_name(rest[-MAX_NAME:])}"


def trained(name: str | os.PathLike[str]) -> Trained:
    """The policy of that name, of a run by its newest checkpoint.

    Raises BadInput where there is none.
    """
    text = os.fspath(name)
    if not text.startswith(ZOO):
        return Trained(*newest(run_folder(text)))
    entry = find(text.removeprefix(ZOO))
    about = entry.card["trained"]
    return Trained(entry.spec, entry.folder, about["env_steps"], about["agent_steps"], entry)
