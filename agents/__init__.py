"""World-model agents and their parts; imports only jax, flax, optax, chex and numpy."""
