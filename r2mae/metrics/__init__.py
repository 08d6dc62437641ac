"""Scores of features: arrays in, numbers out; nothing here knows a model or a modality."""
