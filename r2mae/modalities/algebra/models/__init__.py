"""The two-layer network, the transformer, and the curve that both record."""
