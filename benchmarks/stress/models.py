"""Degraded world models: the policy acts with a worse model than the one it learned.

docs/concepts/stress/model.md

Noise is added through `SafeDreamer(config, env, acting=...)`, which replaces functions of the
networks when the policy is traced; bits and checkpoints change only parameters.

Shapes: E environments; N imagined rollouts; D deterministic latent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.methods import method
from benchmarks.runs import checkpoint
from benchmarks.stress.perturbation import Acting, ChangeAgent, Perturbation, Policy

if TYPE_CHECKING:
    import jax

MANTISSA_BITS = 23  # of float32
MODELS = ("model", "latent")  # fields of an agent's parameters that hold a world model


def _noise_like(key: jax.Array, x: jax.Array) -> jax.Array:
    """Standard Gaussian noise derived from the key and the bits of x.

    It differs between the steps of a plan, whose scan does not pass keys on.
    """
    import jax
    import jax.numpy as jnp

    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32).sum(dtype=jnp.uint32)
    return jax.random.normal(jax.random.fold_in(key, bits), x.shape)


def _disturbed(key: jax.Array, deter: jax.Array, strength: float) -> jax.Array:
    """Latents [..., D] plus Gaussian noise of `strength` times their root mean square over D."""
    import jax.numpy as jnp

    size = jnp.sqrt(jnp.square(deter).mean(-1, keepdims=True))
    return deter + strength * size * _noise_like(key, deter)


def noisy_latents(nets: Any, key: jax.Array, strength: float) -> Any:
    """Networks with a noisy belief after each observation; the recurrent state stays exact."""
    belief = nets.model.belief

    def noisy(latent: Any, obs: Any) -> Any:
        found = belief(latent, obs)
        deter = _disturbed(key, found.latent.deter, strength)
        return found._replace(latent=found.latent._replace(deter=deter))

    nets.model.belief = noisy
    return nets


def noisy_dynamics(nets: Any, key: jax.Array, strength: float) -> Any:
    """Networks whose deterministic transition is noisy at every step, filtered or imagined."""
    next_deter = nets.model.rssm.next_deter

    def noisy(deter: jax.Array, stoch: jax.Array, action: jax.Array) -> jax.Array:
        return _disturbed(key, next_deter(deter, stoch, action), strength)

    nets.model.rssm.next_deter = noisy
    return nets


def biased_costs(nets: Any, key: jax.Array, strength: float) -> Any:
    """Networks whose predicted costs, cost critic included, are multiplied by 1 - strength."""
    del key
    cost, critic = nets.model.cost, nets.cost_critic
    nets.model.cost = lambda belief: (1.0 - strength) * cost(belief)
    if critic is not None:
        value = critic.value
        critic.value = lambda view: (1.0 - strength) * value(view)
    return nets


def noisy_costs(nets: Any, key: jax.Array, strength: float) -> Any:
    """Networks whose predicted cost per step has Gaussian noise, clipped at 0."""
    import jax.numpy as jnp

    cost = nets.model.cost

    def noisy(belief: Any) -> jax.Array:
        found = cost(belief)
        # derived from the latent, since many costs are equal
        noise = _noise_like(key, belief.latent.deter)[..., 0]
        return jnp.maximum(0.0, found + strength * noise)

    nets.model.cost = noisy
    return nets


def _with(change: Callable[[Any, Any, float], Any]) -> ChangeAgent:
    """A ChangeAgent whose SafeDreamer-family agent acts with changed networks."""

    def degraded(policy: Policy, it: Acting, strength: float) -> Acting:
        from agents.safedreamer.agent import SafeDreamer

        del policy
        assert isinstance(it.agent, SafeDreamer)
        agent = SafeDreamer(
            it.agent.config, it.agent.env, acting=lambda nets, key: change(nets, key, strength)
        )
        return it._replace(agent=agent)

    return degraded


def _with_model(it: Acting, model_in: Callable[[str], Any]) -> Acting:
    """The agent with the world model `model_in(field)`, `field` being where its own one is."""
    params = it.state.params
    (field,) = (name for name in MODELS if hasattr(params, name))
    return it._replace(state=it.state._replace(params=params._replace(**{field: model_in(field)})))


def rounded(value: jax.Array, dropped: int) -> jax.Array:
    """float32 values with `dropped` fewer mantissa bits, rounded to nearest, ties up."""
    import jax
    import jax.numpy as jnp

    if not dropped or value.dtype != jnp.float32:
        return value
    bits = jax.lax.bitcast_convert_type(value, jnp.uint32)
    half, mask = 1 << (dropped - 1), (0xFFFFFFFF << dropped) & 0xFFFFFFFF
    new = (bits + jnp.uint32(half)) & jnp.uint32(mask)
    return jax.lax.bitcast_convert_type(new, jnp.float32)


def fewer_bits(policy: Policy, it: Acting, strength: float) -> Acting:
    """The agent with `strength` fewer mantissa bits in its world model's parameters."""
    import jax

    del policy
    params, dropped = it.state.params, int(strength)
    return _with_model(
        it, lambda field: jax.tree.map(lambda x: rounded(x, dropped), getattr(params, field))
    )


def checkpoints(policy: Policy) -> list[Path]:
    """The run's checkpoints before the newest, latest first; none for the zoo."""
    newest = policy.trained.source
    if policy.trained.entry is not None:
        return []
    return sorted(
        (path for path in newest.parent.glob("[0-9]*") if path < newest),
        reverse=True,
    )


def earlier(policy: Policy, it: Acting, strength: float) -> Acting:
    """The agent with the world model from `strength` checkpoints earlier; the rest is unchanged."""
    path = checkpoints(policy)[int(strength) - 1]
    old = checkpoint.load(path, checkpoint.LEARNER, it.state).params
    return _with_model(it, lambda field: getattr(old, field))


def _family(policy: Policy, strength: float) -> str:
    del strength
    found = method(policy.spec.method).family
    return "" if found == "safedreamer" else "a world model of SafeDreamer's family"


def _planned_costs(policy: Policy, strength: float) -> str:
    config = policy.spec.agent
    if lacking := _family(policy, strength):
        return lacking
    uses = config.planner.feasible_filter or config.planner.objective == "lagrangian"
    return "" if config.act_with == "planner" and uses else "a planner that uses predicted costs"


def _model(policy: Policy, strength: float) -> str:
    if method(policy.spec.method).family not in ("safedreamer", "lambda", "safe_slac"):
        return "a world model that it acts with"
    fits = strength <= MANTISSA_BITS and strength == int(strength)
    return "" if fits else f"a whole number of at most {MANTISSA_BITS} mantissa bits"


def _old(policy: Policy, strength: float) -> str:
    if lacking := _model(policy, 0.0):
        return lacking
    found, wanted = len(checkpoints(policy)), int(strength or 1)
    if wanted != (strength or 1) or wanted > found:
        return f"a checkpoint {strength or 1:g} before the newest (its folder has {found})"
    return ""


PERTURBATIONS = (
    Perturbation(
        "latent_noise", "model", "noise on the latent that actor and planner start from",
        "std, of the latent's size", (0.1, 0.3, 1), _family, agent=_with(noisy_latents),
    ),
    Perturbation(
        "dynamics_noise", "model", "noise on every predicted latent", "std, of the latent's size",
        (0.1, 0.3, 1), _family, agent=_with(noisy_dynamics),
    ),
    Perturbation(
        "cost_bias", "model", "predicted costs too small", "lost share",
        (0.25, 0.5, 0.9), _planned_costs, agent=_with(biased_costs),
    ),
    Perturbation(
        "cost_noise", "model", "noise on predicted costs", "std, cost per agent step",
        (0.1, 0.3, 1), _planned_costs, agent=_with(noisy_costs),
    ),
    Perturbation(
        "model_bits", "model", "the model's parameters rounded", "mantissa bits dropped, of 23",
        (16, 19, 21), _model, agent=fewer_bits, whole=True,
    ),
    Perturbation(
        "older_model", "model", "the world model of an earlier checkpoint", "checkpoints back",
        (1,), _old, agent=earlier, whole=True,
    ),
)  # fmt: skip
