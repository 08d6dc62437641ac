"""Subcommands: parsing and printing only. Each imports what it needs when it runs."""
