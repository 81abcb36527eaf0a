"""OmniSafe's algorithms. Their settings: benchmarks.methods.omnisafe_presets."""

from __future__ import annotations

from baselines.omnisafe import algorithms as omnisafe
from baselines.omnisafe import config as configs
from benchmarks.methods import omnisafe_presets
from benchmarks.methods.method import Method, Settings
from benchmarks.runs.spec import OBSERVATIONS

NO_PICTURES = {  # kind of method -> why
    "off-policy": (
        "OmniSafe's replay holds every observation twice as float32, 0.6 MB a step with three "
        "frames of two cameras"
    ),
    "model-based": (
        "its networks predict the next observation itself, which is for low-dimensional states only"
    ),
}


def _omnisafe(row: omnisafe.Algorithm) -> Method:
    def make_settings(obs: str, preset: str, hazard_radius: float, task: str) -> Settings:
        del hazard_radius
        return omnisafe_presets.settings(row.name, preset, task, obs)

    return Method(
        name=row.name,
        family="omnisafe",
        kind=row.family,
        summary=f"{row.omnisafe} of OmniSafe",
        constrains=row.constrains,
        paper=row.paper,
        observations=OBSERVATIONS
        if row.family == "on-policy"
        else ("coordinates", "lidar", "default"),
        presets=("release", "matched", "cpu", "debug"),
        action_repeat=None if row.family == "model-based" else 1,
        load_config_type=lambda obs: (
            configs.vision_config_type if obs == "vision" else configs.config_type
        )(row.name),
        make_settings=make_settings,
        no_pictures=NO_PICTURES.get(row.family, ""),
        check=omnisafe_presets.check,
        warnings=omnisafe_presets.warnings,
    )


ALL = {name: _omnisafe(row) for name, row in omnisafe.ALGORITHMS.items()}
