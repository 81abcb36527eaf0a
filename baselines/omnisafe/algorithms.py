"""Table of the online algorithms of OmniSafe 0.5.0.

Names, family, settings of the cost limit, and papers.

Imports neither torch nor OmniSafe, so that they can be listed where neither is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

Family: TypeAlias = Literal["on-policy", "off-policy", "model-based"]

LAGRANGE = ("lagrange_cfgs.cost_limit",)
DIRECT = ("algo_cfgs.cost_limit",)
SAUTE = ("algo_cfgs.safety_budget",)
# the current budget, and the largest that the controller may raise it to
SIMMER = ("algo_cfgs.safety_budget", "algo_cfgs.upper_budget")
NOWHERE: tuple[str, ...] = ()


class Algorithm(NamedTuple):
    """One algorithm.

    `limit` names OmniSafe's settings for the cost limit per episode; empty if it ignores costs.
    """

    name: str  # ours
    omnisafe: str  # theirs
    family: Family
    limit: tuple[str, ...]
    constrains: str
    paper: str

    @property
    def constrained(self) -> bool:
        return bool(self.limit)


_SUTTON = "Sutton et al. 1999 (NIPS)"
_PPO, _TRPO = "Schulman et al. 2017, arXiv:1707.06347", "Schulman et al. 2015, arXiv:1502.05477"
_RCPO = "Tessler, Mankowitz and Mannor 2018, arXiv:1805.11074"
_PDO = "Chow et al. 2017, arXiv:1512.01629"
_CPO, _PCPO = "Achiam et al. 2017, arXiv:1705.10528", "Yang et al. 2020, arXiv:2010.03152"
_FOCOPS = "Zhang, Vuong and Ross 2020, arXiv:2002.06506"
_CUP = "Yang et al. 2022, arXiv:2209.07089"
_IPO = "Liu, Ding and Liu 2019, arXiv:1910.09615"
_P3O, _CRPO = "Zhang et al. 2022, arXiv:2205.11814", "Xu et al. 2020, arXiv:2011.05869"
_CAP = "Ma et al. 2021, arXiv:2112.07701"
_RAY = "Ray, Achiam and Amodei 2019 (Benchmarking Safe Exploration in Deep RL)"
_STOOKE = "Stooke, Achiam and Abbeel 2020, arXiv:2007.03964"
_SAUTE, _SIMMER = "Sootla et al. 2022, arXiv:2202.06558", "Sootla et al. 2022, arXiv:2206.02675"
_EARLY = "Sun et al. 2021, arXiv:2107.04200"
_DDPG = "Lillicrap et al. 2015, arXiv:1509.02971"
_TD3 = "Fujimoto, van Hoof and Meger 2018, arXiv:1802.09477"
_SAC = "Haarnoja et al. 2018, arXiv:1801.01290"
_LOOP = "Sikchi, Zhou and Held 2020, arXiv:2008.10066"

_IGNORED = "nothing: maximises reward"
_MULTIPLIER = "mean episode cost, by a Lagrange multiplier"
_PID = "mean episode cost, by a PID-controlled multiplier"
_BARRIER = "mean episode cost, by a log barrier"
_PENALTY = "mean episode cost, by an exact penalty"
_SWITCHED = "mean episode cost: steps on it while too high"
_REGION = "expected cost return, within each trust region"
_BUDGET = "cost of every episode: past a budget in the state, rewards are replaced"
_SHRUNK = "cost of every episode, by a budget that a PID controller moves"
_ENDED = "cost of every episode: ends it where the limit is passed"
_PLANNED = "predicted cost return of a plan"
_ADAPTED = "predicted cost return, adaptive penalty"

_ROWS: tuple[tuple[str, str, Family, tuple[str, ...], str, str], ...] = (
    ("policy_gradient", "PolicyGradient", "on-policy", NOWHERE, _IGNORED, _SUTTON),
    ("natural_pg", "NaturalPG", "on-policy", NOWHERE, _IGNORED, "Kakade 2001 (NIPS)"),
    ("ppo", "PPO", "on-policy", NOWHERE, _IGNORED, _PPO),
    ("trpo", "TRPO", "on-policy", NOWHERE, _IGNORED, _TRPO),
    ("ppo_lag", "PPOLag", "on-policy", LAGRANGE, _MULTIPLIER, _RAY),
    ("trpo_lag", "TRPOLag", "on-policy", LAGRANGE, _MULTIPLIER, _RAY),
    ("rcpo", "RCPO", "on-policy", LAGRANGE, _MULTIPLIER, _RCPO),
    ("pdo", "PDO", "on-policy", LAGRANGE, _MULTIPLIER, _PDO),
    ("cppo_pid", "CPPOPID", "on-policy", LAGRANGE, _PID, _STOOKE),
    ("trpo_pid", "TRPOPID", "on-policy", LAGRANGE, _PID, _STOOKE),
    ("cpo", "CPO", "on-policy", DIRECT, _REGION, _CPO),
    ("pcpo", "PCPO", "on-policy", DIRECT, _REGION, _PCPO),
    ("focops", "FOCOPS", "on-policy", LAGRANGE, _MULTIPLIER, _FOCOPS),
    ("cup", "CUP", "on-policy", LAGRANGE, _MULTIPLIER, _CUP),
    ("ipo", "IPO", "on-policy", DIRECT, _BARRIER, _IPO),
    ("p3o", "P3O", "on-policy", DIRECT, _PENALTY, _P3O),
    ("on_crpo", "OnCRPO", "on-policy", DIRECT, _SWITCHED, _CRPO),
    ("ppo_saute", "PPOSaute", "on-policy", SAUTE, _BUDGET, _SAUTE),
    ("trpo_saute", "TRPOSaute", "on-policy", SAUTE, _BUDGET, _SAUTE),
    ("ppo_simmer_pid", "PPOSimmerPID", "on-policy", SIMMER, _SHRUNK, _SIMMER),
    ("trpo_simmer_pid", "TRPOSimmerPID", "on-policy", SIMMER, _SHRUNK, _SIMMER),
    ("ppo_early_terminated", "PPOEarlyTerminated", "on-policy", DIRECT, _ENDED, _EARLY),
    ("trpo_early_terminated", "TRPOEarlyTerminated", "on-policy", DIRECT, _ENDED, _EARLY),
    ("ddpg", "DDPG", "off-policy", NOWHERE, _IGNORED, _DDPG),
    ("td3", "TD3", "off-policy", NOWHERE, _IGNORED, _TD3),
    ("omnisafe_sac", "SAC", "off-policy", NOWHERE, _IGNORED, _SAC),
    ("ddpg_lag", "DDPGLag", "off-policy", LAGRANGE, _MULTIPLIER, _DDPG),
    ("td3_lag", "TD3Lag", "off-policy", LAGRANGE, _MULTIPLIER, _TD3),
    ("omnisafe_sac_lag", "SACLag", "off-policy", LAGRANGE, _MULTIPLIER, _SAC),
    ("ddpg_pid", "DDPGPID", "off-policy", LAGRANGE, _PID, _STOOKE),
    ("td3_pid", "TD3PID", "off-policy", LAGRANGE, _PID, _STOOKE),
    ("sac_pid", "SACPID", "off-policy", LAGRANGE, _PID, _STOOKE),
    ("pets", "PETS", "model-based", NOWHERE, _IGNORED, "Chua et al. 2018, arXiv:1805.12114"),
    ("loop", "LOOP", "model-based", NOWHERE, _IGNORED, _LOOP),
    ("safe_loop", "SafeLOOP", "model-based", DIRECT, _PLANNED, _LOOP),
    ("cce_pets", "CCEPETS", "model-based", DIRECT, _PLANNED, "Wen and Topcu 2018 (NeurIPS)"),
    ("cap_pets", "CAPPETS", "model-based", LAGRANGE, _ADAPTED, _CAP),
    ("rce_pets", "RCEPETS", "model-based", DIRECT, _PLANNED, "Liu et al. 2020, arXiv:2010.07968"),
)

ALGORITHMS: Mapping[str, Algorithm] = {row[0]: Algorithm(*row) for row in _ROWS}

# These learn from a data set instead of an environment, unlike all methods of this suite.
OFFLINE = ("vae_bc", "bcq", "bcq_lag", "crr", "c_crr", "coptidice")

# on-policy, but limited to one environment
SINGLE_ENV = ("ppo_early_terminated", "trpo_early_terminated")


def offline(name: str) -> str | None:
    """Why a method of that name is not offered, if it is one of OmniSafe's offline algorithms.

    Ignores case, hyphens and underscores.
    """
    plain = {other.replace("_", ""): other for other in (*OFFLINE, "ccrr")}
    if name.lower().replace("_", "").replace("-", "") not in plain:
        return None
    return (
        f"{name} is one of OmniSafe's offline algorithms: they learn from a data set and are "
        "out of scope here"
    )


def own_name(name: str) -> str | None:
    """Our name of the algorithm with OmniSafe's name (`PPOLag`), None if there is none."""
    names = {algorithm.omnisafe.lower(): algorithm.name for algorithm in ALGORITHMS.values()}
    return names.get(name.lower())
