"""Masks as pure functions: what is hidden depends on seed, step, position and token, and on nothing else."""
