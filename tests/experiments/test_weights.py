"""Files of weights: read and written exactly, whatever wrote them, and never executed."""

import json
import pathlib
import pickle
import pickletools
import sys
import tracemalloc
import zipfile

import ml_dtypes
import numpy as np
import pytest

from experiments.errors import PageError
from experiments.weights import hdf5, safetensors, torch_files
from experiments.weights.hdf5 import plain_name
from experiments.weights.naming import plain
from experiments.weights.reading import read_weights
from tests.goldens.record import HERE

TENSORS = {
    "layer.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "layer.bias": np.array([1.5, -2.0], np.float64),
    "half": np.array([[0.5]], np.float16),
    "brain": np.array([3.0], ml_dtypes.bfloat16),
    "count": np.array(7, np.int64),
    "empty": np.zeros((0, 3), np.float32),
}


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        np.testing.assert_array_equal(found[name], tensor)


def write_npz(tensors, path):
    np.savez(path, **{name: x for name, x in tensors.items() if x.dtype != ml_dtypes.bfloat16})


WRITERS = {".pth": torch_files.write_zip, ".safetensors": safetensors.write, ".npz": write_npz}


@pytest.mark.parametrize("suffix", WRITERS)
def test_what_is_written_is_read_again_to_the_bit_whatever_the_file_is_called(suffix, tmp_path):
    WRITERS[suffix](TENSORS, tmp_path / f"weights{suffix}")
    (tmp_path / f"weights{suffix}").rename(tmp_path / "weights.bin")
    same(read_weights(tmp_path / "weights.bin"), {k: x for k, x in TENSORS.items() if suffix != ".npz" or k != "brain"})


@pytest.mark.parametrize("file", ["torch_zip", "torch_legacy"])
def test_files_of_torch_itself(file):
    found = read_weights(HERE / f"{file}.pth")
    expected = {
        "transposed": np.arange(12, dtype=np.float32).reshape(3, 4).T,
        "part": np.array([5, 6], np.float32),
        "bfloat16": np.array([1.5, -2.0], ml_dtypes.bfloat16),
        "float16": np.array([[0.25]], np.float16),
        "parameter": np.array([3, 4], np.float32),
        "scalar": np.array(7),
    }
    same(found, expected)


def test_a_state_dict_of_torch_whose_pickle_sets_attributes():
    assert "BUILD" in {op.name for op, *_ in pickletools.genops(_data_pickle(HERE / "torch_state.pth"))}
    found = read_weights(HERE / "torch_state.pth")
    np.testing.assert_array_equal(found["running_var"], [1, 1, 1])


def test_names_of_numpy_and_keras_are_joined_by_dots(tmp_path):
    np.savez(tmp_path / "x.npz", **{"block1_conv1/kernel": np.zeros(1)})
    assert list(read_weights(tmp_path / "x.npz")) == ["block1_conv1.kernel"]
    assert plain_name("model_weights/block1_conv1/block1_conv1/kernel:0") == "block1_conv1/kernel"
    assert plain_name("layers/conv2d/vars/0") == "layers/conv2d/vars/0"


def test_files_of_keras(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["block1_conv1/block1_conv1/kernel:0"] = np.ones((3, 3, 3, 2), np.float32)
        file["optimizer/vars/0"] = np.zeros(1)
    assert {name: x.shape for name, x in read_weights(tmp_path / "w.h5").items()} == {
        "block1_conv1.kernel": (3, 3, 3, 2)
    }


def test_a_keras_file_without_the_extra_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "w.h5").write_bytes(hdf5.MAGIC)
    with pytest.raises(PageError, match=r"a Keras file needs h5py: pip install 'fovea\[keras\]'"):
        read_weights(tmp_path / "w.h5")


def _data_pickle(path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        return archive.read(name)


# Hostile files.


class Touch:
    """An object whose pickle makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path(self.path),)


def legacy(program: bytes) -> bytes:
    return pickle.dumps(torch_files.MAGIC, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + program


def zipped(program: bytes, path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
    return path.read_bytes()


@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
@pytest.mark.parametrize("inside", ["value", "attribute"])
def test_code_in_a_pickle_is_refused_and_does_not_run(form, inside, tmp_path):
    mark = tmp_path / "ran"
    content = {"state_dict": {"weight": Touch(mark)}} if inside == "value" else {"weight": {"hooks": [Touch(mark)]}}
    program = pickle.dumps(content, 2)
    pickle.loads(program)
    assert mark.exists(), "the program must do something"
    mark.unlink()
    file = tmp_path / "weights.pth"
    made = {"zip": lambda: zipped(program, file), "legacy": lambda: legacy(program), "bare": lambda: program}[form]()
    file.write_bytes(made)
    with pytest.raises(PageError, match=r"which is not a tensor; nothing of it was run") as refused:
        read_weights(file)
    assert not mark.exists() and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["builtins eval", "os system", "posix system", "torch load", "numpy frombuffer", "torch._utils os.system"]
)
def test_a_pickle_may_name_nothing_but_tensors(name, tmp_path):
    module, attribute = name.split()
    program = f"\x80\x02c{module}\n{attribute}\n.".encode("latin1")
    (tmp_path / "x.pth").write_bytes(zipped(program, tmp_path / "x.pth"))
    with pytest.raises(PageError, match=f"names {module}.{attribute}"):
        read_weights(tmp_path / "x.pth")


def tensor_program(offset, size, stride, numel=4) -> bytes:
    """A dictionary of one float32 tensor with this geometry over a storage of `numel` numbers."""
    number, text = torch_files._number, torch_files._text
    shape = lambda values: b"(" + b"".join(map(number, values)) + b"t"
    reference = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(numel) + b"tQ"
    call = b"ctorch._utils\n_rebuild_tensor\n(" + reference + number(offset) + shape(size) + shape(stride) + b"tR"
    return b"\x80\x02}" + text("w") + call + b"s."


@pytest.mark.parametrize(
    ("geometry", "line"),
    [
        ((0, (5,), (1,)), "reaches beyond its storage"),
        ((0, (2**40,), (0,)), "larger than its storage"),
        ((0, (2, 2), (3, 1)), "reaches beyond its storage"),
        ((2**62, (1,), (1,)), "reaches beyond its storage"),
        ((-1, (2,), (1,)), "not numbers from 0 on"),
        ((3, (2,), (-1,)), "not numbers from 0 on"),
        ((0, (2,), (1, 1)), "not numbers from 0 on"),
        ((0, (2,), (1,), 9), "truncated"),
    ],
)
def test_a_tensor_that_lies_outside_of_the_file_is_refused(geometry, line, tmp_path):
    def write(*geometry):
        with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
            archive.writestr("archive/data.pkl", tensor_program(*geometry))
            archive.writestr("archive/data/0", np.arange(4, dtype=np.float32).tobytes())

    write(0, (2, 2), (2, 1))
    np.testing.assert_array_equal(read_weights(tmp_path / "x.pth")["w"], [[0, 1], [2, 3]])
    write(*geometry)
    with pytest.raises(PageError, match=line):
        read_weights(tmp_path / "x.pth")


def refused(path, line):
    """Reading it is one line, and takes little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(PageError, match=line) as error:
            read_weights(path)
        assert "\n" not in str(error.value) and tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


HUGE = 2**28  # bytes that a file of a few declares


@pytest.mark.parametrize("code", [pickle.BYTEARRAY8, pickle.BINBYTES8, pickle.BINUNICODE8, pickle.FRAME])
def test_a_pickle_that_declares_more_bytes_than_it_has_takes_no_memory(code, tmp_path):
    program = b"\x80\x05" + code + HUGE.to_bytes(8, "little") + b"x."
    (tmp_path / "legacy").write_bytes(legacy(program))
    refused(tmp_path / "legacy", "its pickle is broken or truncated")
    zipped(program, tmp_path / "zip")
    refused(tmp_path / "zip", "its pickle is broken or truncated")


def test_a_storage_that_declares_more_bytes_than_the_file_has_takes_no_memory(tmp_path):
    program = tensor_program(0, (1,), (1,), numel=HUGE // 4)
    content = legacy(program) + pickle.dumps(["0"], 2) + (HUGE // 4).to_bytes(8, "little") + b"1234"
    (tmp_path / "legacy").write_bytes(content)
    refused(tmp_path / "legacy", "truncated: the bytes of a tensor are not all there")
    with zipfile.ZipFile(tmp_path / "zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", tensor_program(0, (1,), (1,)))
        archive.writestr("archive/data/0", bytes(2**25))
    refused(tmp_path / "zip", "truncated: the bytes of a tensor are not all there")


def test_an_array_of_numpy_that_declares_more_than_its_bytes_takes_no_memory(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(1, np.float32))
    content = (tmp_path / "x.npy").read_bytes().replace(b"(1,), }        ", b"(70000000,), } ")
    assert b"70000000" in content
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", content)
    refused(tmp_path / "x.npz", r"the bytes of x\.npy are not all there")


def test_a_storage_of_two_types_is_refused(tmp_path):
    one = tensor_program(0, (1,), (1,)).removesuffix(b".")
    other = one.removeprefix(b"\x80\x02}").replace(b"FloatStorage", b"DoubleStorage")
    zipped(one + other + b".", tmp_path / "x")
    refused(tmp_path / "x", "a storage has two types")


@pytest.mark.parametrize("kind", ["external", "virtual", "unwritten", "empty", "twice"])
def test_an_array_of_keras_whose_numbers_are_elsewhere_or_not_there_is_refused(kind, tmp_path):
    h5py = pytest.importorskip("h5py")
    (tmp_path / "secret").write_bytes(bytes(8))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(2)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        if kind == "external":
            file.create_dataset("a/kernel", (2,), np.float32, external=[(str(tmp_path / "secret"), 0, 8)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((2,), np.float64)
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (2,))
            file.create_virtual_dataset("a/kernel", layout)
        elif kind == "unwritten":
            file.create_dataset("a/kernel", (HUGE,), np.float32, chunks=(1024,))
        elif kind == "empty":
            file["a/kernel"] = h5py.Empty(np.float32)
        else:
            file["a/kernel"], file["a/a/kernel"] = np.zeros(2), np.ones(2)
    lines = {"external": "in another file", "virtual": "in another file", "twice": "two arrays of the name a/kernel"}
    refused(tmp_path / "w.h5", lines.get(kind, "numbers of a/kernel are not all there"))


def test_two_tensors_of_one_name_are_refused(tmp_path):
    safetensors.write({"a/b": np.zeros(1), "a.b": np.ones(1)}, tmp_path / "x")
    refused(tmp_path / "x", r"a\.b and a/b are both the tensor a\.b")
    with pytest.raises(PageError, match=r"module\.a and a are both the tensor a"):
        plain({"module.a": np.zeros(1), "a": np.ones(1)})


def test_bytes_that_break_a_reader_in_its_own_way_are_one_line(tmp_path):
    header = b'{"w": ' + b"[" * 100_000
    (tmp_path / "deep").write_bytes(len(header).to_bytes(8, "little") + header)
    refused(tmp_path / "deep", "recursion")
    huge = json.dumps({"w": {"dtype": "F32", "shape": [0, 2**80], "data_offsets": [0, 0]}}).encode()
    (tmp_path / "huge").write_bytes(len(huge).to_bytes(8, "little") + huge)
    refused(tmp_path / "huge", "cannot read the weights in")
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", np.random.default_rng(0).bytes(1000))
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[40:60] = bytes(20)
    (tmp_path / "x.npz").write_bytes(content)
    refused(tmp_path / "x.npz", "cannot read the weights in")


@pytest.mark.parametrize("file", ["weights.pth", "weights.safetensors", "weights.npz", "legacy.pth"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_a_truncated_file_is_one_line(file, share, tmp_path):
    path = tmp_path / file
    if file == "legacy.pth":
        path.write_bytes((HERE / "torch_legacy.pth").read_bytes())
    else:
        WRITERS[path.suffix](TENSORS, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(PageError, match="cannot read the weights in") as refused:
        read_weights(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "it is not a .safetensors, .npz, PyTorch or HDF5 file"),
        (b"\x89PNG\r\n\x1a\n", "it is not a .safetensors, .npz, PyTorch or HDF5 file"),
        (pickle.dumps({"a": 1}), "it is a pickle, but not a file of torch"),
        ((2).to_bytes(8, "little") + b"{}", "it has no tensors"),
        (legacy(pickle.dumps({"epoch": 3}, 2) + pickle.dumps([], 2)), "dictionary of epoch, without tensors"),
    ],
)
def test_a_file_of_another_kind_is_one_line(content, line, tmp_path):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(PageError, match=line):
        read_weights(tmp_path / "x")


def test_a_file_of_safetensors_whose_offsets_lie_is_refused(tmp_path):
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + b"1234")
    with pytest.raises(PageError, match="the bytes of w are not all there"):
        read_weights(tmp_path / "x")


def test_an_absent_file_is_one_line():
    with pytest.raises(PageError, match=r"there is no file of weights 'nowhere\.pth'"):
        read_weights("nowhere.pth")
