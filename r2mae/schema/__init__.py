"""Recipe schema: strict YAML in, typed sections out, every mistake an error of one line.

Imports neither torch nor a modality.
"""
