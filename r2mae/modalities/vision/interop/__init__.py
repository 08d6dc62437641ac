"""Weights from and to timm and transformers."""
