"""Named settings of Safe SLAC.

`release` is the published protocol, `matched` gives it SafeDreamer's cameras and cost limit (its
action repeat is the loop's to set), `cpu` is sized for vectors on two cores, `debug` for seconds.
"""

from __future__ import annotations

from agents.settings import OptimizerConfig
from baselines.sac.config import MultiplierConfig, SACConfig
from baselines.safe_slac.config import LatentConfig, SafeSLACConfig


def release() -> SafeSLACConfig:
    """The published agent: one camera, limit 25, almost no lower bound of the reward's standard
    deviation, whole windows only, leaky costs.
    """
    latent = LatentConfig(cameras="first", reward_std_min=1e-5, whole_windows=True)
    return SafeSLACConfig(latent=latent, sac=SACConfig(cost_output="leaky"))


def matched() -> SafeSLACConfig:
    """Published sizes and schedules, SafeDreamer's two cameras and cost limit."""
    return SafeSLACConfig(cost_limit=2.0)


def cpu() -> SafeSLACConfig:
    """For vectors, sized for an hour on two cores.

    Trials: results/log_of_trials.md; results: results/campaign/README.md.
    """
    return SafeSLACConfig(
        cost_limit=2.0,
        pretrain_updates=1000,
        latent=LatentConfig(
            z1=32,
            z2=64,
            feature=64,
            units=128,
            conv_depth=16,
            batch=16,
            vector_variance=0.01,  # else the latent omits the positions of hazards
            reward_std_min=1e-2,
            cost_positive=10.0,
            optimizer=OptimizerConfig(5e-4, 1e-8, 40.0),
        ),
        # The published horizons in simulator steps, 200 and 400, at an action repeat of 5 instead
        # of 2.
        sac=SACConfig(
            units=128,
            discount=0.975,
            cost_discount=0.9875,
            optimizer=OptimizerConfig(5e-4, 1e-8, 40.0),
        ),
        # an hour is some two thousand episodes, of 25 updates each
        multiplier=MultiplierConfig(learning_rate=4e-5),
    )


def debug() -> SafeSLACConfig:
    """Every size shrunk until a run takes seconds; learns nothing."""
    return SafeSLACConfig(
        pretrain_updates=5,
        latent=LatentConfig(z1=4, z2=8, feature=8, units=16, layers=1, conv_depth=2, batch=2),
        sac=SACConfig(units=16),
    )


_BUILDERS = {"release": release, "matched": matched, "cpu": cpu, "debug": debug}
PRESETS: tuple[str, ...] = tuple(_BUILDERS)


def agent_config(preset: str) -> SafeSLACConfig:
    """Configuration under a preset (one of PRESETS); KeyError otherwise."""
    if preset not in _BUILDERS:
        raise KeyError(f"unknown preset {preset!r}; valid: {', '.join(PRESETS)}")
    return _BUILDERS[preset]()
