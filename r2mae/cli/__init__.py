"""Verbs: parsing and printing only. Each verb imports what it needs when it runs."""
