"""A trained policy by the name that users give it: a run folder, `hub:TARGET` for a shared run, or
`zoo:METHOD/TASK/SEED`.

Names are read without JAX; parameters are loaded on request.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.methods.saved import newest
from benchmarks.runs.errors import BadInput
from benchmarks.runs.reading import DamagedFile
from benchmarks.runs.spec import RunSpec
from benchmarks.sharing.fetching import HUB, run_folder
from benchmarks.suites.names import file_name
from benchmarks.zoo.entry import Entry, checked_file, find

if TYPE_CHECKING:
    from agents.api import Agent, EnvSpec, PyTree

ZOO = "zoo:"
MAX_NAME = 60  # characters of a policy's name within a file name


class Trained(NamedTuple):
    """A policy and the location of its parameters."""

    spec: RunSpec
    source: Path  # a checkpoint, or the folder of the zoo's entry
    env_steps: int  # of training
    agent_steps: int
    entry: Entry | None = None  # of the zoo, which holds only arrays needed for acting

    @property
    def folder(self) -> Path:
        """The run folder, or that of the zoo's entry."""
        return self.source if self.entry else self.source.parents[1]

    def load(self, env: EnvSpec) -> tuple[Agent, PyTree]:
        """The JAX agent of `spec`, and its learner's state.

        Raises BadInput if the parameters do not fit, DamagedFile if that is the file's fault.
        """
        if self.entry is not None:
            from benchmarks.zoo.states import load

            try:
                return load(self.entry._replace(spec=self.spec), env)
            except DamagedFile as error:
                if self.spec.agent == self.entry.spec.agent:
                    raise
                raise BadInput(
                    f"{ZOO}{self.entry.name} cannot act with these settings: in {error.path.name}, "
                    f"{error.why}"
                ) from error
        from benchmarks.training.launch import trained_agent

        return trained_agent(self.spec, self.source, env)

    def published(self) -> dict[str, Any] | None:
        """Arguments that describe a zoo policy to an OmniSafe process; None for a run's policy.

        Raises DamagedFile if its file does not match its card.
        """
        if self.entry is None:
            return None
        file = str(checked_file(self.entry))
        return {"file": file, "env_steps": self.env_steps, "agent_steps": self.agent_steps}


def named(text: str | os.PathLike[str]) -> bool:
    """Whether `text` names a policy rather than one of the user's folders."""
    return os.fspath(text).startswith((ZOO, HUB))


def here(name: str) -> str:
    """Prefix of a named policy's files in the current folder: `zoo-bsrp_lag-PointCircle1-0`."""
    kind, _, rest = name.partition(":")
    return f"{kind}-{file_name(rest[-MAX_NAME:])}"


def trained(name: str | os.PathLike[str]) -> Trained:
    """The policy of that name; for a run, of its newest checkpoint.

    Raises BadInput if there is none.
    """
    text = os.fspath(name)
    if not text.startswith(ZOO):
        return Trained(*newest(run_folder(text)))
    entry = find(text.removeprefix(ZOO))
    about = entry.card["trained"]
    return Trained(entry.spec, entry.folder, about["env_steps"], about["agent_steps"], entry)
