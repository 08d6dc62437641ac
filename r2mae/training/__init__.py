"""The one training step, its state on disk, and what is seen while it runs."""
