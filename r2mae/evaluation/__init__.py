"""Evaluation of trained encoders and classifiers, the same for every modality."""
