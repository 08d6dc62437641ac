"""Weights from and to the libraries that others use."""
