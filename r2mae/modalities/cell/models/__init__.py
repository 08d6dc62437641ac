"""Masked models of single-cell expression."""
