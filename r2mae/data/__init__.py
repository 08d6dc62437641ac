"""Samples by position: the order of the stream, and what each modality reads."""
