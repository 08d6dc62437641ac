"""Metrics of arrays, independent of models and modalities."""
