"""r2mae: distributed masked pretraining with random mask ratios (R²MAE)."""

__version__ = "0.1.0"
