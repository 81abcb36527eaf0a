"""Named settings of Safe SLAC.

release  the published agent
matched  published sizes and schedules, SafeDreamer's two cameras and cost limit (the loop sets its
         action repeat)
cpu      for vectors, sized for an hour on two cores; trials: results/log_of_trials.md, results:
         results/campaign/README.md
debug    every size shrunk until a run takes seconds; learns nothing
"""

from __future__ import annotations

from agents.settings import OptimizerConfig
from baselines.sac.config import MultiplierConfig, SACConfig
from baselines.safe_slac.config import LatentConfig, SafeSLACConfig

# one camera, limit 25, almost no lower bound of the reward's standard deviation, whole windows
# only, leaky costs
RELEASE = SafeSLACConfig(
    latent=LatentConfig(cameras="first", reward_std_min=1e-5, whole_windows=True),
    sac=SACConfig(cost_output="leaky"),
)
MATCHED = SafeSLACConfig(cost_limit=2.0)
CPU = SafeSLACConfig(
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
    # The published horizons in simulator steps, 200 and 400, at an action repeat of 5 instead of 2.
    sac=SACConfig(
        units=128,
        discount=0.975,
        cost_discount=0.9875,
        optimizer=OptimizerConfig(5e-4, 1e-8, 40.0),
    ),
    # an hour is some two thousand episodes, of 25 updates each
    multiplier=MultiplierConfig(learning_rate=4e-5),
)
DEBUG = SafeSLACConfig(
    pretrain_updates=5,
    latent=LatentConfig(z1=4, z2=8, feature=8, units=16, layers=1, conv_depth=2, batch=2),
    sac=SACConfig(units=16),
)

PRESETS = {"release": RELEASE, "matched": MATCHED, "cpu": CPU, "debug": DEBUG}
