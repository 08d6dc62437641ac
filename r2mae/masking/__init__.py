"""Masks as pure functions of seed, step, position in the stream and token."""
