"""What a trained encoder is worth: the same measurements for every modality, arrays from `embed`."""
