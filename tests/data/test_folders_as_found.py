"""Folders, lists and names as people have them: each is read right, or refused in one line."""

import os
import pathlib
import unicodedata

import numpy as np
import pytest
from PIL import Image

from data import DataError, open_source

PNG = "png"  # is replaced by the content of a small picture
NFC, NFD = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))


def lay(root: pathlib.Path, *names: str, text: str = PNG) -> pathlib.Path:
    """Makes the files `names` under `root`: pictures that differ, or files of `text`."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text == PNG:
            Image.new("RGB", (3, 2), tuple(os.urandom(3))).save(path, "PNG")
        else:
            path.write_text(text)
    return root


def read(name: str, split: str = "all") -> tuple[dict[str, str | None], str]:
    """({file name: its class or None}, the line on what was read)."""
    source = open_source(name, split, image_size=4)
    names = source.info.classes
    labels = [names[i] for i in source.labels()] if "label" in source.info.fields else [None] * len(source)
    batch = source.fetch(np.arange(len(source)))
    assert batch.keys() == source.info.fields.keys() and len(batch["image"]) == len(source)
    assert "\n" not in source.description
    return {file.name: label for file, label in zip(source.files, labels, strict=True)}, source.description


def refused(name: str, split: str = "all", **options) -> str:
    with pytest.raises(DataError) as error:
        open_source(name, split, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# Folders: files -> what is read, and the end of the line on it.

FOLDERS = {
    "classes": (
        ["a/1.png", "b/2.png"],
        {"1.png": "a", "2.png": "b"},
        "2 images, 2 classes (a, b), train 2",
    ),
    "classes deep": (
        ["a/x/y/1.png", "b/2.png"],
        {"1.png": "a", "2.png": "b"},
        "2 images, 2 classes (a, b), train 2",
    ),
    "upper case suffix": (
        ["a/1.PNG", "b/2.Png"],
        {"1.PNG": "a", "2.Png": "b"},
        "train 2",
    ),
    "git inside a class": (
        ["a/1.png", "a/.git/x.png", "b/2.png"],
        {"1.png": "a", "2.png": "b"},
        "train 2; left out 1: 1 hidden",
    ),
    "notebook checkpoints as a class": (
        [".ipynb_checkpoints/0.png", "a/1.png", "b/.ipynb_checkpoints/3.png", "b/2.png"],
        {"1.png": "a", "2.png": "b"},
        "left out 2: 2 hidden",
    ),
    "archive of a Mac": (
        ["__MACOSX/a/._1.png", "a/1.png", "a/._1.png", "b/2.png", "b/.DS_Store"],
        {"1.png": "a", "2.png": "b"},
        "left out 3: 3 hidden",
    ),
    "thumbnails of a NAS and of Windows": (
        ["a/1.png", "a/@eaDir/1.png/SYNOPHOTO.png", "b/2.png", "b/Thumbs.db", "b/desktop.ini"],
        {"1.png": "a", "2.png": "b"},
        "left out 3: 3 hidden",
    ),
    "other suffixes": (
        ["a/1.png", "a/1.txt", "a/2.txt", "b/2.png", "README", "all.zip"],
        {"1.png": "a", "2.png": "b"},
        "left out 4: 2 .txt, 1 .zip, 1 without a suffix",
    ),
    "a picture beside the classes": (
        ["cover.png", "a/1.png", "b/2.png"],
        {"1.png": "a", "2.png": "b"},
        "left out 1: 1 outside of the class folders",
    ),
    "an empty class folder": (
        ["a/1.png", "b/2.png", "notes/x.txt"],
        {"1.png": "a", "2.png": "b"},
        "2 classes (a, b), train 2; left out 1: 1 .txt",
    ),
    "flat": (
        ["1.png", "2.png"],
        {"1.png": None, "2.png": None},
        "2 images, train 2",
    ),
    "flat splits": (
        ["train/1.png", "test/2.png"],
        {"1.png": None, "2.png": None},
        "2 images, train 1 and test 1",
    ),
    "one class": (
        ["a/1.png", "a/2.png"],
        {"1.png": None, "2.png": None},
        "2 images, train 2",
    ),
    "one folder and pictures beside it": (
        ["1.png", "more/2.png"],
        {"1.png": None, "2.png": None},
        "2 images, train 2",
    ),
    "Kaggle: a test set without classes": (
        ["train/a/1.png", "train/b/2.png", "test/3.png"],
        {"1.png": "a", "2.png": "b"},
        "train 2; left out 1: 1 outside of the class folders",
    ),
    "a folder beside the splits": (
        ["train/a/1.png", "train/b/2.png", "unlabelled/3.png", "cover.png"],
        {"1.png": "a", "2.png": "b"},
        "left out 2: 2 outside of the splits",
    ),
    "a class of one split": (
        ["train/a/1.png", "train/b/2.png", "test/a/3.png"],
        {"1.png": "a", "2.png": "b", "3.png": "a"},
        "train 2 and test 1",
    ),
    "cases that are two classes": (
        ["a/1.png", "A/2.png"],
        {"1.png": "a", "2.png": "A"},
        "2 classes (A, a)",
    ),
    "a class in two normal forms": (
        [f"train/{NFC}/1.png", "train/b/2.png", f"test/{NFD}/3.png"],
        {"1.png": NFC, "2.png": "b", "3.png": NFC},
        f"2 classes (b, {NFC})",
    ),
}


@pytest.mark.parametrize(("files", "expected", "line"), FOLDERS.values(), ids=FOLDERS)
def test_folders(tmp_path, files, expected, line):
    root = tmp_path / "photos"
    lay(root, *(name for name in files if name.lower().endswith("png")))
    lay(root, *(name for name in files if not name.lower().endswith("png")), text="x")
    found, description = read(f"folder:{root}")
    assert found == expected
    assert description.startswith(f"folder:{root}: {len(found)} images") and line in description


SPLITS = {
    ("train", "val", "test"): ("train", "validation", "test"),
    ("training", "valid", "testing"): ("train", "validation", "test"),
    ("Train", "Validation", "Test"): ("train", "validation", "test"),
    ("TRAIN", "DEV"): ("train", "validation"),
    ("test",): ("test",),
}


@pytest.mark.parametrize(("names", "splits"), SPLITS.items(), ids=map("-".join, SPLITS))
def test_splits_by_their_common_names(tmp_path, names, splits):
    for i, name in enumerate(names):
        lay(tmp_path / "classes" / name, *(f"{c}/{i}{c}{j}.png" for c in "ab" for j in range(i + 1)))
        lay(tmp_path / "pairs" / name, *(f"{c}/{j}.png" for c in ("A", "B") for j in range(i + 1)))
    lines = [f"{c}/{i}{c}0.png" for i, _ in enumerate(names) for c in "ab"]
    rows = [f"{names[int(line[2])]}/{line},{line[0]},{names[int(line[2])]}" for line in lines]
    (tmp_path / "classes" / "list.csv").write_text("\n".join(["file,label,split", *rows]))
    for i, (name, split) in enumerate(zip(names, splits, strict=True)):
        for asked in (name, split, f"{name}[:100%]"):
            assert len(open_source(f"folder:{tmp_path}/classes", asked)) == 2 * (i + 1)
            assert len(open_source(f"unpaired:{tmp_path}/pairs", asked)) == i + 1
            assert len(open_source(f"folder:{tmp_path}/classes/list.csv", asked)) == 2
    line = open_source(f"folder:{tmp_path}/classes", "all").description
    assert " and ".join(f"{split} {2 * (i + 1)}" for i, split in enumerate(splits)) in line


@pytest.mark.parametrize("split", ["train", "val", "Testing"])
def test_splits_of_pairs(tmp_path, split):
    for form in (f"{split}/images", f"{split}/masks"):
        Image.new("L", (3, 2)).save(lay(tmp_path / form, "1.png") / "1.png")
    lay(tmp_path, "other/2.png", f"{split}/masks/.3.png")
    source = open_source(f"pairs:{tmp_path}", split, classes=("a", "b"))
    assert len(source) == 1
    assert source.description.endswith(" 1; left out 2: 1 hidden, 1 in other folders")


REFUSED = {
    "val and valid": (
        ["train/a/1.png", "val/a/2.png", "valid/b/3.png"],
        "'val' and 'valid' both mean the split 'validation'",
    ),
    "Train and train": (["Train/a/1.png", "train/b/2.png"], "'Train' and 'train' both mean the split 'train'"),
    "an empty split": (["train/a/1.png", "test/x.txt"], "no images under "),
    "nothing": (["x.txt"], "no images under "),
    "only hidden": ([".git/1.png"], "no images under "),
    "splits below classes": (
        ["a/train/1.png", "a/test/2.png", "b/train/3.png"],
        "/a holds the splits test and train: write",
    ),
    "splits in a folder of an archive": (
        ["x/train/a/1.png", "x/test/a/2.png"],
        "/x holds the splits test and train: write",
    ),
    "a class called train": (["train/1.png", "bus/2.png"], "is 'train' a split or a class, as 'bus' is?"),
    "a class called test": (["test/1.png", "a/2.png", "b/3.png"], "is 'test' a split or a class, as 'a' is?"),
    "a class in another case": (
        ["train/cat/1.png", "train/dog/2.png", "test/Cat/3.png"],
        "'Cat' and 'cat' are in different splits: are they one class?",
    ),
}


@pytest.mark.parametrize(("files", "message"), REFUSED.values(), ids=REFUSED)
def test_folders_that_are_refused(tmp_path, files, message):
    lay(tmp_path, *(name for name in files if name.endswith("png")))
    lay(tmp_path, *(name for name in files if not name.endswith("png")), text="x")
    assert message in refused(f"folder:{tmp_path}", image_size=4)


def test_eval_is_neither_validation_nor_test(tmp_path):
    lay(tmp_path, "train/a/1.png", "train/b/2.png", "eval/a/3.png")
    found, line = read(f"folder:{tmp_path}")
    assert found.keys() == {"1.png", "2.png"} and line.endswith("left out 1: 1 outside of the splits")
    assert "no split 'eval'" in refused(f"folder:{tmp_path}", "eval", image_size=4)


def test_a_name_that_is_too_long_does_not_exist():
    assert "no folder 'xxx" in refused(f"folder:{'x' * 300}")
    assert "no file 'xxx" in refused(f"boxes:{'x' * 300}")
    assert "no file 'xxx" in refused(f"image:{'x' * 300}")
    for kind in ("pairs", "unpaired"):
        assert "no folder 'xxx" in refused(f"{kind}:{'x' * 300}")


# Links.


def test_links_are_followed_and_loops_end(tmp_path):
    lay(tmp_path / "store", "1.png", "2.png")
    (tmp_path / "set" / "a").mkdir(parents=True)
    (tmp_path / "set" / "b").mkdir()
    (tmp_path / "set" / "a" / "one.png").symlink_to(tmp_path / "store" / "1.png")
    (tmp_path / "set" / "a" / "again.png").symlink_to(tmp_path / "store" / "1.png")
    (tmp_path / "set" / "a" / "up").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "b" / "two.png").symlink_to("../../store/2.png")
    (tmp_path / "set" / "b" / "lost.png").symlink_to("nowhere.png")
    found, line = read(f"folder:{tmp_path}/set")
    assert found == {"again.png": "a", "two.png": "b"}
    assert line.endswith("left out 3: 1 links that lead nowhere, 1 links to a folder above, 1 reached twice")


def test_one_file_in_two_classes_or_splits_is_refused(tmp_path):
    lay(tmp_path, "train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png")
    link = tmp_path / "test" / "a" / "5.png"
    link.symlink_to(tmp_path / "train" / "a" / "1.png")
    assert "are one file, in test a and in train a" in refused(f"folder:{tmp_path}", image_size=4).replace(
        "in train a and in test a", "in test a and in train a"
    )
    link.unlink()
    (tmp_path / "train" / "b" / "5.png").symlink_to("../a/1.png")
    assert "are one file, in train a and in train b" in refused(f"folder:{tmp_path}", image_size=4)


# Lists: the content of the list beside a/1.png, a/2.png, b/3.png -> what is read.

PLAIN = {"1.png": "x", "3.png": "y"}
LISTS = {
    "commas": (b"file,label\na/1.png,x\nb/3.png,y\n", PLAIN),
    "semicolons": (b"file;label\na/1.png;x\nb/3.png;y\n", PLAIN),
    "tabs": (b"file\tlabel\na/1.png\tx\nb/3.png\ty\n", PLAIN),
    "line breaks of Windows": (b"file,label\r\na/1.png,x\r\nb/3.png,y\r\n\r\n", PLAIN),
    "no line break at the end": (b"file,label\na/1.png,x\nb/3.png,y", PLAIN),
    "mark of UTF-8": ("\ufefffile,label\na/1.png,x\nb/3.png,ÿ\n".encode(), {"1.png": "x", "3.png": "ÿ"}),
    "UTF-8": ("file,label\na/1.png,x\nb/3.png,ÿ\n".encode(), {"1.png": "x", "3.png": "ÿ"}),
    "UTF-16": ("file,label\na/1.png,x\nb/3.png,ÿ\n".encode("utf-16"), {"1.png": "x", "3.png": "ÿ"}),
    "UTF-16 of the other order": ("\ufefffile\tlabel\na/1.png\tx\nb/3.png\ty".encode("utf-16-be"), PLAIN),
    "UTF-32": ("file,label\na/1.png,x\nb/3.png,ÿ\n".encode("utf-32"), {"1.png": "x", "3.png": "ÿ"}),
    "Latin-1": ("file,label\na/1.png,é\nb/3.png,ÿ\n".encode("latin-1"), {"1.png": "é", "3.png": "ÿ"}),
    "another order and case": (b"Label,File\nx,a/1.png\ny,b/3.png\n", PLAIN),
    "no header": (b"a/1.png,x\nb/3.png,y\n", PLAIN),
    "no header, semicolons": (b"a/1.png;x\nb/3.png;y\n", PLAIN),
    "no header, files alone": (b"a/1.png\nb/3.png\n", {"1.png": None, "3.png": None}),
    "files alone": (b"file\na/1.png\nb/3.png\n", {"1.png": None, "3.png": None}),
    "one class": (b"file,label\na/1.png,x\nb/3.png,x\n", {"1.png": None, "3.png": None}),
    "blanks and quotes": (b'file, label\n "a/1.png", x \nb/3.png,"y"\n', PLAIN),
    "a comma and a line break in a class": (
        b'file,label\na/1.png,"x, x"\nb/3.png,"y\ny"\n',
        {"1.png": "x, x", "3.png": "y\ny"},
    ),
    "backslashes": (b"file,label\na\\1.png,x\n.\\b\\3.png,y\n", PLAIN),
    "a row twice": (b"file,label\na/1.png,x\nb/3.png,y\n./a/../a/1.png,x\n", PLAIN),
    "numbers": (b"file,label\na/1.png,10\nb/3.png,9\n", {"1.png": "10", "3.png": "9"}),
    "a split that has no common name": (b"file,label,split\na/1.png,x,fold-1\nb/3.png,y,fold-2\n", PLAIN),
}


@pytest.fixture
def beside(tmp_path):
    return lay(tmp_path, "a/1.png", "a/2.png", "b/3.png")


@pytest.mark.parametrize(("content", "expected"), LISTS.values(), ids=LISTS)
def test_lists(beside, content, expected):
    (beside / "list.csv").write_bytes(content)
    found, line = read(f"folder:{beside}/list.csv")
    assert found == expected
    assert ("left out 1: 1 listed twice" in line) == (b".." in content)


def test_lists_have_absolute_paths_splits_and_columns_that_are_not_read(beside, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("lists") / "list.txt"
    elsewhere.write_text(f"id,file,label,split\n7,{beside}/a/1.png,x,Train\n8,{beside}/b/3.png,y,val\n")
    found, line = read(f"folder:{elsewhere}")
    assert found == PLAIN
    assert line.endswith("2 classes (x, y), train 1 and validation 1; not read: column id")
    assert [len(open_source(f"folder:{elsewhere}", split)) for split in ("train", "valid")] == [1, 1]


LISTS_REFUSED = {
    "no bytes": (b"", "lists no images"),
    "header alone": (b"file,label\n", "lists no images"),
    "other names": (b"name,label\na/1.png,x\n", "needs the columns file, label: the first row is name, label"),
    "too many columns without a header": (b"a/1.png,x,train,0.5\n", "needs the columns file, label: the first row is"),
    "a column twice": (b"file,label,label\na/1.png,x,y\n", "has two columns 'label'"),
    "short": (b"file,label\na/1.png,x\na/2.png\n", "line 3 has 1 field, the first row has 2"),
    "long": (b"file,label\na/1.png,x,y\n", "line 2 has 3 fields, the first row has 2: write a field that holds"),
    "empty": (b"file,label\na/1.png,x\n\nb/3.png,y\n", "line 3 is empty"),
    "separators alone": (b"file,label\na/1.png,x\n,\n", "line 3 is empty"),
    "no label": (b"file,label\na/1.png,x\nb/3.png,\n", "line 3: no label"),
    "no file name": (b"file,label\n,x\n", "line 2: no file"),
    "no such file": (b"file,label\na/1.png,x\na/9.png,y\n", "line 3: no file "),
    "a folder": (b"file,label\na,x\n", "line 2: no file "),
    "the line after a text of several": (b'file,label\na/1.png,"x\nx"\na/9.png,y\n', "line 4: no file "),
    "a path of Windows": (b"file,label\nC:\\a\\1.png,x\n", "line 2: no file "),
    "two labels": (
        b"file,label\na/1.png,x\nb/3.png,y\na/1.png,y\n",
        "/a/1.png has the label 'x' in line 2 and 'y' in line 4",
    ),
    "two splits": (
        b"file,label,split\na/1.png,x,train\na/1.png,x,test\n",
        "the split 'train' in line 2 and 'test' in line 3",
    ),
    "no split": (b"file,label,split\na/1.png,x,train\nb/3.png,y,\n", "line 3: no split"),
    "names of one split": (
        b"file,label,split\na/1.png,x,val\nb/3.png,y,dev\n",
        "'val' and 'dev' both mean the split 'validation'",
    ),
    "UTF-16 without a mark": ("file,label\na/1.png,x\n".encode("utf-16-le"), "is it UTF-16 without a byte order mark"),
    "half of UTF-16": ("file,label\na/1.png,x\n".encode("utf-16")[:-1], "begins as utf-16 and is not: truncated data"),
    "Windows-1252": (
        "file,label\na/1.png,x\nb/3.png,ž\n".encode("cp1252"),
        "line 3: byte 9E is neither UTF-8 nor Latin-1",
    ),
}


@pytest.mark.parametrize(("content", "message"), LISTS_REFUSED.values(), ids=LISTS_REFUSED)
def test_lists_that_are_refused(beside, content, message):
    (beside / "list.csv").write_bytes(content)
    assert message in refused(f"folder:{beside}/list.csv", image_size=4)


def test_one_file_by_two_paths_has_one_label(beside):
    (beside / "link.png").symlink_to("a/1.png")
    (beside / "list.csv").write_text("file,label\na/1.png,x\nlink.png,y\n")
    assert "has the label 'x' in line 2 and 'y' in line 3" in refused(f"folder:{beside}/list.csv", image_size=4)


def test_lists_of_boxes_and_captions_are_read_by_the_same_rules(beside):
    path = beside / "boxes.csv"
    header = "file;x1;y1;x2;y2;label;split"
    path.write_text(
        f"{header}\na\\1.png;0;0;1;1;é;training\na/1.png;0;0;1;1;é;training\nb/3.png;0;0;2;2;z;dev", "utf-16"
    )
    source = open_source(f"boxes:{path}", "val", image_size=4)
    assert source.info.classes == ("z", "é") and [file.name for file in source.files] == ["3.png"]
    assert source.description.endswith("2 classes (z, é), train 1 and validation 1; left out 1: 1 listed twice")
    path.write_text("a/1.png,0,0,1,1,cat\nb/3.png,,,,,\n")
    assert len(open_source(f"boxes:{path}", "train", image_size=4)) == 2
    path.write_text("a/1.png,0,0,1,1,cat\na/1.png,,,,,\n")
    assert "has no object in line 2 and a box in line 1" in refused(f"boxes:{path}", "train", image_size=4)
    path.write_text("file\tcaption\tsplit\na/1.png\ta cat\ttrain\nb/3.png\ta dog\tTest\n")
    source = open_source(f"captions:{path}", "test", image_size=4)
    assert source.truth([0])[0]["captions"] == ["a dog"] and "dog" not in source.info.fields["tokens"].names


# Names.

WICKED = [
    "[wide]",
    "a*b?",
    "$0_$10",
    "100%d",
    "[bold]",
    "<b>&amp;",
    "a b",
    "a\nb",
    "'a' \"b\"",
    "a\\b",
    "a;b,c\td",
    "{split}",
    "-rf",
    "#x=1",
    "日本語",
    NFD,
    "x" * 200,
    os.fsdecode(b"caf\xe9"),
]


@pytest.mark.parametrize("name", WICKED, ids=ascii)
def test_any_name_of_a_root_a_class_and_a_file(tmp_path, name):
    root = lay(tmp_path / name, f"train/{name}/{name}.png", "train/other/2.png", f"test/{name}/3.png")
    found, line = read(f"folder:{root}")
    own = unicodedata.normalize("NFC", name)
    assert found == {f"{name}.png": own, "2.png": "other", "3.png": own}
    assert line.isprintable() and "train 2 and test 1" in line
    source = open_source(f"folder:{root}", "train")
    assert len(set(source.members(root).tolist())) == 2
    quoted = name.replace('"', '""')
    text = f'file,label\n"train/{quoted}/{quoted}.png","{quoted}"\ntrain/other/2.png,other\n'
    if name != os.fsdecode(b"caf\xe9"):
        (root / "list.csv").write_text(text, "utf-8", newline="")
        assert read(f"folder:{root}/list.csv")[0] == {f"{name}.png": own, "2.png": "other"}
    if name == "{split}":  # is replaced by the name of a split
        return
    pairs = lay(tmp_path / f"{name}2", f"train/{name}/1.png", f"train/{name}2/2.png")
    source = open_source(f"unpaired:{pairs}", "train", a=name, b=f"{name}2")
    assert len(source) == len(source.groups["other"]) == 1


def test_a_list_in_one_normal_form_and_files_in_the_other(tmp_path):
    lay(tmp_path, f"{NFD}/{NFD}.png", "2.png")
    (tmp_path / "list.csv").write_text(f"file,label\n{NFC}/{NFC}.png,{NFD}\n2.png,b\n", "utf-8")
    found, _ = read(f"folder:{tmp_path}/list.csv")
    assert found == {f"{NFD}.png": NFC, "2.png": "b"}
