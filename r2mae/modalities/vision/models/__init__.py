"""Encoders and masked models of images."""
