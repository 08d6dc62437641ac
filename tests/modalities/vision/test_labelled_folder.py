"""Labels of a folder of images in a table beside them."""

import json

import pytest
from PIL import Image

from r2mae.cli.main import main
from r2mae.data.card import load_card
from r2mae.data.source import with_labels
from r2mae.errors import InputError
from r2mae.modalities.vision.describe import describe_data
from r2mae.modalities.vision.image_records import open_record_paths, open_records
from r2mae.modalities.vision.images import open_images
from r2mae.modalities.vision.schema import VisionData
from r2mae.recipe.load import load_recipe
from tests.conftest import DEMO, TINY
from tests.modalities.vision.test_image_files import folder

CARD = load_card("image_folder")


@pytest.fixture(autouse=True)
def _own_cache(scratch):
    """Tables are converted in a cache of the test's own."""


def table(path, *rows, header="file_name,kind"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in (header, *rows)))
    return path


def classes(root, split="train", column="kind"):
    """{image: class}, without images that have none."""
    records = open_records(CARD, str(root), split, column)
    return {
        records.images[row]: records.class_names[label]
        for row, label in enumerate(records.labels.tolist())
        if label >= 0
    }


def refusal(root, split="train", column="kind"):
    with pytest.raises(InputError) as caught:
        open_records(CARD, str(root), split, column)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "separator"),
    [("metadata.csv", ","), ("labels.csv", ","), ("labels.tsv", "\t")],
)
def test_a_table_beside_the_images_names_their_classes(scratch, name, separator):
    folder(scratch / "train", "0.png", "deep/1.png", "2.png", "3.png")
    rows = ("./0.png,cat", "deep/1.png,dog", "3.png,cat")
    lines = [row.replace(",", separator) for row in rows]
    header = f"file_name{separator}kind"
    table(scratch / "train" / name, *lines, header=header)
    expected = {"0.png": "cat", "deep/1.png": "dog", "3.png": "cat"}
    assert classes(scratch) == expected
    assert classes("train/../train/..") == expected  # the root as others write it
    images = open_images(
        VisionData(root=str(scratch), image_size=8, label_column="kind"), "train"
    )
    assert (images.labels < 0).tolist() == [False, True, False, False]
    assert len(with_labels(images)) == 3


def test_paths_may_be_absolute(scratch):
    folder(scratch / "train", "0.png", "1.png", "2.png")
    place = (scratch / "train").absolute()
    table(scratch / "metadata.csv", f"{place}/0.png,cat", "train/1.png,dog")
    assert classes(scratch) == {"0.png": "cat", "1.png": "dog"}


def test_json_lines_are_a_table_too(scratch):
    folder(scratch, "0.png", "1.png")
    rows = [{"file_name": f"{number}.png", "kind": number} for number in range(2)]
    (scratch / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert classes(scratch) == {"0.png": "0", "1.png": "1"}


def test_a_table_at_the_root_labels_both_splits_alike(scratch, capsys):
    folder(scratch, "train/0.png", "train/1.png", "test/0.png", "test/1.png")
    rows = ("train/0.png,3", "train/1.png,5", "test/0.png,5", "test/1.png,")
    table(scratch / "labels.csv", *rows)
    assert classes(scratch) == {"0.png": "3", "1.png": "5"}
    assert classes(scratch, "test") == {"0.png": "5"}
    train, test = (
        open_records(CARD, str(scratch), split, "kind") for split in ("train", "test")
    )
    assert train.labels.tolist() == [3, 5]
    assert test.labels.tolist() == [5, -1]  # floats to who reads a column with a gap
    assert train.note == test.note == ""


def test_texts_have_the_same_numbers_as_class_folders(scratch):
    folder(scratch / "a", "0.png", "1.png")
    table(scratch / "a/metadata.csv", "0.png,cat", "1.png,dog")
    folder(scratch / "b", "cat/0.png", "dog/1.png")
    by_table = open_records(CARD, "a", "train", "kind")
    by_folder = open_records(CARD, "b", "train")
    assert by_table.labels.tolist() == by_folder.labels.tolist()
    assert by_table.class_names == by_folder.class_names
    assert classes("b/../a") == {"0.png": "cat", "1.png": "dog"}


def test_rows_without_a_file_are_counted_and_said_once(scratch, capsys):
    folder(scratch, "0.png", "1.png")
    table(scratch / "metadata.csv", "0.png,cat", "1.png,dog", "gone.png,cat", ",dog")
    section = VisionData(root=str(scratch), image_size=8, label_column="kind")
    for _ in range(2):
        assert len(open_images(section, "train")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("data: 2 bad rows: ")
    assert "metadata.csv row 2 must name an image, got gone.png." in line


def test_more_than_half_of_the_rows_without_a_file_are_refused(scratch):
    folder(scratch, "0.png", "1.png")
    table(scratch / "metadata.csv", "0.png,cat", "a/0.png,dog", "a/1.png,cat")
    message = refusal(scratch)
    assert "metadata.csv must be right in at least half of 3 rows" in message


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        (
            ["0.png,a"],
            "image,kind",
            "must have the column 'file_name', got image, kind",
        ),
        (["0.png,a"], "file_name,kinds", "Did you mean kinds?"),
        (["0.png,a", "0.png,b"], "file_name,kind", "one class of 0.png, got a and b."),
        (["0.png,"], "file_name,kind", "must name a class of an image in "),
        (["../0.png,a"], "file_name,kind", "must name a class of an image in "),
        (["notes.txt,a"], "file_name,kind", "row 0 must name an image, got notes.txt"),
    ],
)
def test_tables_that_are_refused(scratch, rows, header, said):
    folder(scratch, "0.png", "1.png")
    (scratch / "notes.txt").touch()
    place = table(scratch / "metadata.csv", *rows, header=header)
    message = refusal(scratch)
    assert message.startswith(f"{place} must ")
    assert said in message


def test_lists_are_no_classes(scratch):
    folder(scratch, "0.png", "1.png")
    rows = [{"file_name": f"{number}.png", "kind": [1, 2]} for number in range(2)]
    (scratch / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert "must name classes in column 'kind', got List" in refusal(scratch)


def test_the_remedy_where_there_is_no_table_and_where_it_is_not_named(scratch):
    folder(scratch / "a", "cat/0.png", "dog/1.png")
    said = "put a metadata.csv with the columns file_name and kind beside the images."
    assert refusal("a").endswith(said)
    folder(scratch / "b", "0.png", "1.png")
    place = table(scratch / "b/labels.csv", "0.png,cat", "1.png,dog")
    unnamed = open_records(CARD, str(scratch / "b"), "train")
    assert unnamed.labels is None
    assert unnamed.labels_absent.startswith(f"no data.label_column for {place}. Set it")


def test_other_labels_are_other_data(scratch):
    folder(scratch, "0.png", "1.png")
    fingerprints = {open_records(CARD, str(scratch), "train").fingerprint}
    for kind in ("cat", "dog", "cat"):
        table(scratch / "metadata.csv", f"0.png,{kind}")
        fingerprints.add(open_records(CARD, ".", "train", "kind").fingerprint)
    assert len(fingerprints) == 3


def test_a_folder_that_a_user_names_need_not_have_the_labels(scratch):
    folder(scratch / "a", "0.png")
    assert open_record_paths(CARD, ["a"], "kind").labels is None
    table(scratch / "a/metadata.csv", "0.png,cat")
    assert open_record_paths(CARD, ["a"], "other").labels is None
    assert list(open_record_paths(CARD, ["a"], "kind").class_names.values()) == ["cat"]


def labelled_images(root):
    """Bright and dark images, of which every fifth has no label, in train/ and test/."""
    rows = []
    for split, count in (("train", 60), ("test", 20)):
        names = [f"{split}/{number}.png" for number in range(count)]
        folder(root, *[name for number, name in enumerate(names) if number % 2])
        rows += [
            f"{name},{'dog' if number % 2 else 'cat'}"
            for number, name in enumerate(names)
            if number % 5
        ]
        for number in range(0, count, 2):
            Image.new("L", (8, 8), 190 + number).save(root / names[number])
    table(root / "metadata.csv", *rows)


def test_check_counts_images_without_a_label(scratch):
    labelled_images(scratch / "img")
    (scratch / "img/train/notes.csv").touch()
    settings = ("data.card=image_folder", "data.root=img", "data.label_column=kind")
    lines = describe_data(load_recipe(str(DEMO), [*TINY, *settings]))
    assert lines["labels"] == (
        "2 classes in train and held out (12 images without a label): cat 24, dog 24"
    )
    assert lines["not read"] == "1 files .csv"


def test_probes_fine_tuning_and_evaluation_use_the_table(scratch, capsys):
    labelled_images(scratch / "img")
    data = ("data.card=image_folder", "data.root=img", "data.label_column=kind")

    def call(*arguments, settings=()):
        options = [part for one in (*data, *settings) for part in ("--set", one)]
        code = main([*arguments, *(options if settings else [])])
        output = capsys.readouterr()
        assert code == 0, output.err
        return output

    tiny = (
        *TINY,
        "watch.linear_probe=true",
        "schedule={steps: 2}",
        "data.held_out=0.3",
    )
    call("pretrain", str(DEMO), "--name", "p", settings=tiny)
    metrics = (scratch / "runs/p/metrics.csv").read_text()
    assert "probe/knn" in metrics
    scores = call("evaluate", "runs/p", "--task", "knn", "--json")
    assert json.loads(scores.out)["scores"]["pretrained"]["accuracy"] == 1
    shape = [name for name in TINY if name.startswith("model.") and "dec" not in name]
    tuning = (
        *shape,
        "data.held_out=0.3",
        "schedule={steps: 2}",
        "repeat={seeds: 1, labels_per_class: [all]}",
        "model.init_from=runs/p",
    )
    finetune = str(DEMO).replace("digits_demo", "digits_finetune")
    call("finetune", finetune, "--name", "f", settings=tuning)
    manifest = json.loads((scratch / "runs/f/labels_all/seed_0/run.json").read_text())
    assert manifest["test"]["accuracy"] == 1
