"""Masked models: the interface that every modality implements, and the parts they share."""
