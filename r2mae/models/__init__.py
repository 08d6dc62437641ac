"""Masked models: one protocol, one file a modality."""
