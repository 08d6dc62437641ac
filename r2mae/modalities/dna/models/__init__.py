"""Masked models of DNA: dilated convolutions and transformers."""
