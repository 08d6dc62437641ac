"""What `r2mae check` prints about images: splits, classes, files that are not read."""

import numpy as np

from r2mae.data.card import load_card
from r2mae.data.source import SampleSource, hold_out, root_of
from r2mae.modalities.vision.image_folder import FolderRecords
from r2mae.modalities.vision.image_records import has_split, unread_folders
from r2mae.modalities.vision.images import Images, open_images
from r2mae.modalities.vision.pixel_cache import describe_cache
from r2mae.modalities.vision.survey import describe_pixels, survey_images
from r2mae.schema.recipe import AnyRecipe

_MOST_CLASSES = 12  # that are listed one by one


def describe_data(recipe: AnyRecipe) -> dict[str, str]:
    """Size of every split, number of images per class, and files that are not read."""
    section = recipe.data
    card = load_card(section.card)
    train = open_images(section, "train")
    trained, held_out = hold_out(train, section.held_out)
    splits = f"train {len(trained):,}, held out {len(held_out):,}"
    if section.test_share is not None or has_split(card, section.root, "test"):
        splits += f", test {_describe_size(open_images(section, 'test'))}"
    else:
        splits += ", no test split: set data.test_share to evaluate"
    lines = {"splits": splits, "labels": _describe_classes(train)}
    root = root_of(train)
    assert isinstance(root, Images)
    if (survey := survey_images(root.records, section)) is not None:
        lines["pixels"] = describe_pixels(survey, section)
        if cache := describe_cache(survey, recipe):
            lines["cache"] = cache
    if unread := _describe_unread(train, unread_folders(card, section.root)):
        lines["not read"] = unread
    return lines


def _describe_size(source: SampleSource) -> str:
    """Number of images, and of those without a label where the data has labels."""
    size = f"{len(source):,}"
    unlabelled = 0 if source.labels is None else int((source.labels < 0).sum())
    return f"{size} ({unlabelled:,} without a label)" if unlabelled else size


def _describe_classes(source: SampleSource) -> str:
    """Number of classes and images of each, or why there are none."""
    labels = source.labels
    if labels is None:
        return f"none: {source.labels_absent}"
    is_labelled = labels >= 0
    numbers, sizes = np.unique(labels[is_labelled], return_counts=True)
    names = [source.class_names[number] for number in numbers.tolist()]
    by_name = sorted(zip(names, sizes.tolist(), strict=True))
    title = f"{len(names)} classes in train and held out"
    if not is_labelled.all():
        title += f" ({np.sum(~is_labelled):,} images without a label)"
    if len(names) <= _MOST_CLASSES:
        return f"{title}: {_list_counts(by_name)}"
    if sizes.min() == sizes.max():
        return f"{title}, {sizes[0]:,} images each"
    by_size = sorted(by_name, key=lambda entry: entry[1])
    middle = int(np.median(sizes))
    return (
        f"{title}, {middle:,} images each in the median; smallest "
        f"{_list_counts(by_size[:3])}; largest {_list_counts(by_size[-3:])}"
    )


def _list_counts(counts: list[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts)


def _describe_unread(source: SampleSource, folders: list[str]) -> str:
    """Files of the training folder that are not images, and folders outside the splits."""
    parts = [f"{name}/, which is neither train nor test" for name in folders]
    records = getattr(root_of(source), "records", None)
    if isinstance(records, FolderRecords):
        others = sorted(records.other_files.items())
        parts += [f"{count:,} files {suffix}" for suffix, count in others if count]
    return "; ".join(parts)
