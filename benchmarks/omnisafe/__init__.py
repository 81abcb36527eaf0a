"""OmniSafe's algorithms under the protocol of this suite: presets, environments, the loop of a run, its process. No JAX in here."""
