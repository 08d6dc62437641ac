"""Strict recipes: YAML in, typed sections out, every mistake one line. Imports neither torch nor a modality."""
