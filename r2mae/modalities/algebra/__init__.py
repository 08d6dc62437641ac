"""Finite groups, where the features that a masked network learns have a closed form."""
