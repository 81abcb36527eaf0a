"""Options of `omnisafe train` as options of `safedreamer train`: `--algo PPOLag --env-id ID`."""

from __future__ import annotations

from collections.abc import Sequence

from baselines.omnisafe.algorithms import own_name

OURS = {
    "--algo": "--method",
    "--env-id": "--task",
    "--total-steps": "--steps",
    "--vector-env-nums": "--loop.num-envs",
}


def translated(args: Sequence[str]) -> list[str]:
    """Replace OmniSafe's options, and its names of algorithms, by ours."""
    words: list[str] = []
    option = ""  # OmniSafe's option whose value is next
    for word in args:
        name, equals, value = word.partition("=")
        if (spelled := name.replace("_", "-")) in OURS:
            words.append(f"{OURS[spelled]}{equals}{_value(spelled, value)}")
            option = "" if equals else spelled
        else:
            words.append(_value(option, word))
            option = ""
    return words


def _value(option: str, value: str) -> str:
    return (own_name(value) or value) if option == "--algo" else value
