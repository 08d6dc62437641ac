"""Mean and standard deviation of pixels, by a data card."""

from r2mae.data.card import load_card
from r2mae.errors import InputError
from r2mae.modalities.vision.schema import VisionData


def pixel_statistics(section: VisionData) -> dict[str, tuple[float, ...]]:
    """{"pixel_mean", "pixel_std"} of each channel, for pixels from 0 to 1.

    Raises: InputError for a card without them.
    """
    card, channels = load_card(section.card), section.channels
    for name in ("mean", "std"):
        if not getattr(card, name):
            raise InputError(
                f"data.card must give the pixels' {name}, got none in "
                f"{section.card!r}. Add it to the card."
            )
    return {
        "pixel_mean": _per_channel(card.mean, channels),
        "pixel_std": _per_channel(card.std, channels),
    }


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """A card's pixel statistics for 1 or 3 channels: averaged, or repeated."""
    if len(values) == channels:
        return values
    return (sum(values) / len(values),) * channels
