"""Builds models, data, trainers and runs from recipes."""
