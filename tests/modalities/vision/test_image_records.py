import io
import os

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from r2mae.data.card import load_card
from r2mae.errors import InputError
from r2mae.modalities.vision.image_records import open_record_paths, open_records
from r2mae.schema.card import Card

CARD = load_card("image_folder")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "arrow")


def encoded(value=0, kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (7, 9), (value, 0, 255 - value)).save(file, kind)
    return file.getvalue()


def folder(root, *names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            encoded(
                number, "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG"
            )
        )
    return root


def table(path, num=3, **columns):
    rows = [{"bytes": encoded(value), "path": f"{value}.png"} for value in range(num)]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": rows} | columns), path)
    return path


def refusal(function, *arguments):
    with pytest.raises(InputError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_folders_of_splits_are_found_in_any_case(tmp_path):
    folder(tmp_path, "Train/a/1.png", "Train/b/2.png", "Valid/b/3.png")
    train, test = (open_records(CARD, str(tmp_path), x) for x in ("train", "test"))
    assert (len(train), len(test)) == (2, 1)
    assert sorted(train.class_names.values()) == ["a", "b"]


def test_images_of_all_splits_are_not_mixed(tmp_path):
    folder(tmp_path, "Valid/a/1.png", "rest/b/3.png")
    message = refusal(open_records, CARD, str(tmp_path), "train")
    assert "must hold train/ beside Valid/" in message


def test_class_folders_become_labels(tmp_path):
    folder(
        tmp_path / "train",
        "dog/b.PNG",
        "cat/z.jpg",
        "cat/deep/a.jpeg",
        "ant/x.webp",
        "cat/notes.txt",
    )
    records = open_records(CARD, str(tmp_path), "train")
    assert len(records) == 4
    ant, cat, also_cat, dog = records.labels.tolist()
    assert [records.name(i) for i in range(4)] == [
        str(tmp_path / "train" / name)
        for name in ("ant/x.webp", "cat/deep/a.jpeg", "cat/z.jpg", "dog/b.PNG")
    ]
    assert cat == also_cat
    assert len({ant, cat, dog}) == 3
    folder(
        tmp_path / "test", "dog/1.png", "cat/2.png"
    )  # a split without ants numbers the others alike
    assert open_records(CARD, str(tmp_path), "test").labels.tolist() == [cat, dog]
    assert records.labels.dtype == np.int64
    for index in range(4):
        with open(records.name(index), "rb") as file:
            assert records.read(index) == file.read()


@pytest.mark.parametrize("names", [("a.png", "b.png"), ("cat/a.png", "b.png")])
def test_loose_images_have_no_labels(tmp_path, names):
    records = open_records(CARD, str(folder(tmp_path, *names)), "train")
    assert len(records) == 2
    assert records.labels is None


def test_splits_are_found(tmp_path):
    folder(tmp_path, "train/a/1.png", "train/b/2.png", "train/b/3.png", "val/a/1.png")
    assert len(open_records(CARD, str(tmp_path), "train")) == 3
    assert len(open_records(CARD, str(tmp_path), "test")) == 1


@pytest.mark.parametrize("names", [(), ("cat/readme.txt",)])
def test_a_folder_without_images(tmp_path, names):
    root = folder(tmp_path, *names)
    message = refusal(open_records, CARD, str(root), "train")
    assert message.startswith(f"data.root {root} must hold images (.bmp, .gif, ")
    assert message.endswith("got none. Check the path.")


def test_folders_are_known_by_names_and_sizes(tmp_path):
    words = [
        open_records(CARD, str(folder(tmp_path / place, *names)), "train").fingerprint
        for place, names in {
            "x": ("a/1.png", "b/2.png"),
            "y": ("a/1.png", "b/2.png"),
            "z": ("a/1.png", "c/2.png"),
        }.items()
    ]
    assert words[0] == words[1] != words[2]


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        ([7, 3, 7], [7, 3, 7]),
        (["b", "a", "b"], None),
        ([0.5, 2.5, 0.5], None),
        ([True, False, True], None),
    ],
)
def test_parquet_rows_and_labels(tmp_path, given, labels):
    table(tmp_path / "train.parquet", label=given)
    records = open_records(CARD, str(tmp_path), "train")
    assert len(records) == 3
    first, second, third = records.labels.tolist()
    assert first == third != second
    assert labels is None or records.labels.tolist() == labels
    assert records.labels.dtype == np.int64
    assert [records.read(i) for i in range(3)] == [encoded(i) for i in range(3)]
    assert records.name(2) == "train.parquet row 2"


def test_parquet_shards_are_read_in_order(tmp_path):
    for shard in range(3):
        table(tmp_path / f"train-0000{shard}.parquet", num=2, label=[shard, shard + 5])
    records = open_records(CARD, str(tmp_path), "train")
    assert records.labels.tolist() == [0, 5, 1, 6, 2, 7]
    assert [records.read(i) for i in range(6)] == [encoded(i % 2) for i in range(6)]


def test_shards_in_data_are_splits_as_on_the_hub(tmp_path):
    (tmp_path / "data").mkdir()
    for shard in range(2):
        name = f"train-0000{shard}-of-00002.parquet"
        table(tmp_path / "data" / name, num=2, label=[shard, shard + 5])
    table(tmp_path / "data/validation-00000-of-00001.parquet", num=1, label=[7])
    assert open_records(CARD, str(tmp_path), "train").labels.tolist() == [0, 5, 1, 6]
    assert open_records(CARD, str(tmp_path), "test").labels.tolist() == [7]


def test_a_missing_label_column_is_no_mistake(tmp_path):
    table(tmp_path / "train.parquet")
    assert open_records(CARD, str(tmp_path), "train").labels is None
    table(tmp_path / "train.parquet", label=[1, 2, 3])
    unlabelled = Card(**CARD.model_dump() | {"label_column": None})
    assert open_records(unlabelled, str(tmp_path), "train").labels is None


def test_another_label_column(tmp_path):
    table(tmp_path / "train.parquet", fine=["b", "a", "b"], coarse=[1, 1, 0])
    records = open_records(CARD, str(tmp_path), "train", label_column="fine")
    assert [records.class_names[label] for label in records.labels.tolist()] == [
        "b",
        "a",
        "b",
    ]
    assert open_records(
        CARD, str(tmp_path), "train", label_column="coarse"
    ).labels.tolist() == [1, 1, 0]
    named = open_record_paths(
        CARD, [str(tmp_path / "train.parquet")], label_column="coarse"
    )
    assert named.class_names == {0: "0", 1: "1"}


def test_why_there_are_no_labels(tmp_path):
    path = table(tmp_path / "a/train.parquet", fine=["b", "a", "b"], coarse=[1, 1, 0])
    said = "no column 'label' in train.parquet, only fine, coarse. Name one in data.label_column."
    assert open_records(CARD, str(path.parent), "train").labels_absent == said
    alone = table(tmp_path / "b/train.parquet")
    said = "no column 'label' in train.parquet, no other column than the images. Name one in data.label_column."
    assert open_records(CARD, str(alone.parent), "train").labels_absent == said
    none = Card(**CARD.model_dump() | {"label_column": None})
    assert open_records(none, str(path.parent), "train").labels_absent.startswith(
        "no label column in its card in "
    )
    loose = folder(tmp_path / "c", "cat/1.png", "2.png")
    said = f"images outside class folders, the first {loose / '2.png'}. Put each image into a folder"
    assert open_records(CARD, str(loose), "train").labels_absent.startswith(said)
    assert (
        "image files such as "
        in open_record_paths(CARD, [str(loose / "2.png")]).labels_absent
    )


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            "fien",
            "got no column 'fien' in train.parquet, only fine, coarse. Did you mean fine?",
        ),
        (
            "wolf",
            "got no column 'wolf' in train.parquet, only fine, coarse. Name one in data.label_column.",
        ),
        (
            "image",
            "got no column 'image' in train.parquet, only fine, coarse. Name one in data.label_column.",
        ),
    ],
)
def test_a_named_label_column_must_be_there(tmp_path, column, message):
    path = table(tmp_path / "train.parquet", fine=["b", "a", "b"], coarse=[1, 1, 0])
    refused = refusal(open_records, CARD, str(tmp_path), "train", column)
    assert refused == f"data.label_column must be a column of the data, {message}"
    assert (
        open_record_paths(CARD, [str(path)], column).labels is None
    )  # other data than the recipe's


def test_data_without_columns_has_no_label_column(tmp_path):
    said = "got 'fine' for data without columns. Leave it out"
    folders = str(folder(tmp_path, "cat/1.png", "dog/2.png"))
    for card, root, remedy in (
        (load_card("digits"), None, ": class folders name the classes."),
        (CARD, folders, ", or put a metadata.csv with the columns file_name and fine "),
    ):
        assert said + remedy in refusal(open_records, card, root, "train", "fine")


def test_classes_have_names(tmp_path):
    records = open_records(
        CARD,
        str(folder(tmp_path / "a", "cat/1.png", "dog/2.png", "cat/3.png")),
        "train",
    )
    assert [records.class_names[label] for label in records.labels.tolist()] == [
        "cat",
        "cat",
        "dog",
    ]
    assert open_records(load_card("digits"), None, "test").class_names == {
        number: str(number) for number in range(10)
    }
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["ant", "bee", "cow"]),
        }
    )
    rows = [{"bytes": encoded(value), "path": None} for value in range(3)]
    (tmp_path / "b").mkdir()
    datasets.Dataset.from_dict(
        {"image": rows, "label": [1, 0, 1]}, features
    ).to_parquet(tmp_path / "b/train.parquet")
    records = open_records(CARD, str(tmp_path / "b"), "train")
    assert records.labels.tolist() == [1, 0, 1]
    assert records.class_names == {0: "ant", 1: "bee", 2: "cow"}


def test_raw_bytes_and_paths_are_images_too(tmp_path):
    root = folder(tmp_path / "images", "one.png")
    raw, where = tmp_path / "raw.parquet", tmp_path / "where.parquet"
    pq.write_table(pa.table({"image": [encoded(4), encoded(5)]}), raw)
    pq.write_table(pa.table({"image": [str(root / "one.png")]}), where)
    assert open_record_paths(CARD, [str(raw)]).read(1) == encoded(5)
    assert open_record_paths(CARD, [str(where)]).read(0) == encoded(0)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"img": [b"x"]},
            ["must have the image column 'image'", "['img']", "Did you mean img?"],
        ),
        (
            {"imgae": [b"x"], "label": [1]},
            ["image column 'image'", "Did you mean imgae?"],
        ),
        ({"image": [1]}, ["must hold encoded images in column 'image'", "int64"]),
        (
            {"image": [b"x", b"y"], "label": [1, None]},
            ["must name a class in every row of column 'label'", "1 empty rows"],
        ),
        (
            {"image": [b"x", b"y"], "label": ["a", None]},
            ["'label'", "1 empty rows", "label_column: null"],
        ),
        (
            {"image": [b"x", b"y"], "label": [{"a": 1}, {"a": 2}]},
            ["must name a class", "int64"],
        ),
        ({"image": pa.array([], pa.binary())}, ["train.parquet must be readable"]),
    ],
)
def test_bad_columns(tmp_path, columns, words):
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    message = refusal(open_records, CARD, str(tmp_path), "train")
    assert "train.parquet must " in message
    for word in words:
        assert word in message


def test_a_damaged_parquet_file(tmp_path, capfd):
    path = table(tmp_path / "train.parquet")
    path.write_bytes(path.read_bytes()[:-10])
    assert f"{path} must be readable by datasets, got " in refusal(
        open_records, CARD, str(tmp_path), "train"
    )
    assert capfd.readouterr().err == ""  # one line in all, and the caller prints it


def test_a_row_without_an_image(tmp_path):
    path = tmp_path / "train.parquet"
    rows = [{"bytes": encoded(), "path": None}, None, {"bytes": None, "path": None}]
    pq.write_table(pa.table({"image": rows}), path)
    records = open_record_paths(CARD, [str(path)])
    assert records.read(0) == encoded()
    for row in (1, 2):
        with pytest.raises(OSError, match="empty row"):
            records.read(row)


def test_a_changed_parquet_file_is_read_anew(tmp_path):
    path = tmp_path / "train.parquet"
    fingerprints = []
    for num in (2, 5):
        records = open_record_paths(CARD, [str(table(path, num))])
        assert len(records) == num
        fingerprints.append(records.fingerprint)
    assert fingerprints[0] != fingerprints[1]


def test_files_that_a_user_names(tmp_path, monkeypatch):
    folder(tmp_path, "x/a.png", "y/b.jpg")
    monkeypatch.chdir(tmp_path)
    records = open_record_paths(
        CARD, [str(tmp_path / "x/a.png"), "y/b.jpg"]
    )  # absolute beside relative
    assert (len(records), records.labels, records.name(1)) == (2, None, "y/b.jpg")
    assert records.read(0) == encoded(0)
    assert len(open_record_paths(CARD, ["x"])) == 1
    tables = [table(tmp_path / "p/1.parquet"), table(tmp_path / "q/2.parquet")]
    assert len(open_record_paths(CARD, [os.path.relpath(path) for path in tables])) == 6


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["missing.png"], ["missing.png must exist", "Check the path."]),
        (["notes.txt"], ["notes.txt must be an image (.bmp, "]),
        (["a.png", "notes.txt"], ["notes.txt must be an image"]),
        (["empty", "a.png"], ["empty must be an image"]),
        (["empty"], ["must hold images", "got none"]),
        (["bad.parquet"], ["bad.parquet must be readable by datasets"]),
        (["bad.parquet", "a.png"], ["bad.parquet must be an image"]),
    ],
)
def test_bad_paths(tmp_path, monkeypatch, names, words):
    folder(tmp_path, "a.png")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    message = refusal(open_record_paths, CARD, names)
    for word in words:
        assert word in message


def test_a_card_without_a_place():
    message = refusal(open_records, CARD, None, "train")
    assert (
        message
        == "data.root must be given for this card, got nothing. Its data is images of your own, "
        "with classes by folder or table if any; source: your own. Set data.root to where it is."
    )


def test_digits():
    train, test = (
        open_records(load_card("digits"), None, split) for split in ("train", "test")
    )
    assert (len(train), len(test)) == (1437, 360)
    assert set(train.labels.tolist()) == set(test.labels.tolist()) == set(range(10))
    assert train.fingerprint != test.fingerprint
    pixels = np.stack([train.read(index) for index in range(len(train))])
    assert pixels.shape == (1437, 8, 8, 1)
    assert sorted(np.unique(pixels)) == list(range(0, 241, 15))  # 17 grey levels
    assert train.name(5) == "digit 5"
