"""What `fovea rehearse` promises: its figures are those of the program that a run compiles.

What needs XLA's compilers for GPUs and TPUs is skipped where `make rehearse` has not fetched them.
"""

import argparse
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.bench.processes import Elsewhere
from experiments.bench.rehearse import step_memory
from experiments.build.parts import Parts
from experiments.commands.rehearse import json_file
from experiments.errors import PageError
from experiments.pages.catalogue import load
from experiments.pages.overrides import override
from experiments.rehearse.absent import shapes
from experiments.rehearse.bounds import seconds
from experiments.rehearse.compiler import Compiler, packages
from experiments.rehearse.devices import KINDS, place
from experiments.rehearse.hlo import Collective, read
from experiments.rehearse.picture import memory_picture
from experiments.rehearse.programs import Rehearsal
from experiments.rehearse.search import alternatives, largest_batch, suggestions
from experiments.rehearse.verdict import memory_by_kind, verdict
from experiments.rehearse.worker import refusal
from models.counting import count_macs


def needs(platform: str) -> None:
    """Skips a test that compiles for a platform whose compiler is not here."""
    try:
        packages(platform)
    except PageError as error:
        pytest.skip(str(error))


def compiled(on: str, page: str, program: str = "train", **overrides) -> dict:
    where = place(on)
    with Compiler(where) as compiler:
        return verdict(compiler.compile(page, [(key, str(x)) for key, x in overrides.items()], program), where)


# Where.


def test_places_are_named_as_hosts_and_slices():
    for text, topology, count, per_host in (
        ("h100", "1x1x1", 1, 1),
        ("a100:8", "1x1x8", 8, 8),
        ("h100:2x8", "1x2x8", 16, 8),
        ("tpu:v5e:16x16", "v5e:16x16", 256, 256),
        ("tpu:v4:2x2x1", "v4:2x2x1", 4, 4),
    ):
        where = place(text)
        assert (where.topology, where.count, where.per_host) == (topology, count, per_host)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("h1000", "did you mean 'h100'"),
        ("tpu:v5x:2x2", "did you mean 'v5"),
        ("v5e:2x4", "did you mean 'tpu:v5e:2x4'"),
        ("h100:a", "write h100:8 or h100:2x8"),
        ("tpu:v5e", "write tpu:v5e:2x2"),
        ("tpu:v4:2x2", "write tpu:v4:2x2x2"),
        ("h100:0", "write h100:8"),
        ("h100:٣", "write h100:8"),
        (f"h100:{'9' * 5000}", "write h100:8"),
        ("h100:100x100", "10000 devices"),
    ],
)
def test_unknown_devices_and_shapes_are_one_line(fovea, text, says):
    found = fovea("rehearse", "--config", "mlp_digits", "--on", text)
    assert found.code == 2 and says in found.error and found.error.count("\n") == 1


def test_what_does_not_fit_the_page_is_one_line(fovea, monkeypatch, tmp_path):
    """The worker's errors are those of a run, told by the command."""
    monkeypatch.chdir(tmp_path)
    for arguments, says in (
        (("mlp_digits", "--on", "cpu:7"), "train.batch_size=128 does not divide over 7 devices: try 126"),
        (("unet_camvid", "--on", "cpu:2"), "no folder 'camvid_small'"),
    ):
        found = fovea("rehearse", "--config", *arguments)
        assert found.code == 2 and says in found.error.splitlines()[-1], found
        assert not [line for line in found.error.splitlines()[:-1] if "…" not in line]  # progress
    misspelt = fovea("rehearse", "--config", "mlp_digits", "--on", "cpu:2", "--try", "train.batchsize=3")
    assert misspelt.code == 2 and "did you mean 'batch_size'" in misspelt.error


def test_the_missing_extra_says_how_to_get_it(fovea, monkeypatch, tmp_path):
    monkeypatch.setenv("FOVEA_REHEARSE", str(tmp_path))
    monkeypatch.setattr("experiments.rehearse.compiler._installed", lambda module: False)
    found = fovea("rehearse", "--config", "mlp_digits", "--on", "h100:8")
    assert found.code == 2 and "make rehearse" in found.error and found.error.count("\n") == 1


def test_a_slice_that_libtpu_does_not_have_is_one_line(fovea):
    needs("tpu")
    found = fovea("rehearse", "--config", "mlp_digits", "--on", "tpu:v5e:3x5")
    assert found.code == 2 and "XLA has no such devices" in found.error.splitlines()[-1]


# The reader of compiled programs.


def program(text: str, devices: int = 8):
    return read(f"HloModule m\n\nENTRY %main () -> f32[] {{\n{text}\n}}\n", devices)


@pytest.mark.parametrize(
    ("groups", "first"),
    [
        ("{{0,1,2,3},{4,5,6,7}}", (0, 1, 2, 3)),
        ("[4,2]<=[8]", (0, 1)),
        ("[4,2]<=[2,4]T(1,0)", (0, 4)),
        ("mesh['a'=2,'b'=4] {'b'}", (0, 1, 2, 3)),
        ("mesh['a'=2,'b'=4] {'a'}", (0, 4)),
        ("mesh['a'=4,'b'=1,'c'=2], device_ids=(0,4,1,5,2,6,3,7) {'a'}", (0, 1, 2, 3)),
        ("mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'b'}", (0, 4)),
        ("{}", tuple(range(8))),
    ],
)
def test_groups_of_devices_are_read_in_every_notation(groups, first):
    text = "  %x = f32[16]{0} parameter(0)\n"
    text += f"  %y = f32[16]{{0}} all-reduce(%x), channel_id=1, replica_groups={groups}, to_apply=%add"
    assert program(text).collectives == (Collective("all-reduce", 64, first, 1),)


def test_a_loop_counts_as_often_as_it_runs_and_a_gather_by_what_it_gives():
    text = """HloModule m

%body (p: (f32[4,8])) -> (f32[4,8]) {
  %p = (f32[4,8]{1,0}) parameter(0)
  %a = f32[4,8]{1,0} get-tuple-element(%p), index=0
  %b = f32[8,16]{1,0} constant({...})
  %d = f32[4,16]{1,0} dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %g = bf16[4,8]{1,0} convert(%a)
  %h = bf16[8,8]{1,0} all-gather-start(%g), replica_groups={{0,1}}, dimensions={0}
  %i = bf16[8,8]{1,0} all-gather-done(%h)
  ROOT %t = (f32[4,8]{1,0}) tuple(%a)
}

%cond (p.1: (f32[4,8])) -> pred[] {
  %p.1 = (f32[4,8]{1,0}) parameter(0)
  ROOT %c = pred[] constant(true)
}

ENTRY %main (x: f32[4,8]) -> (f32[4,8]) {
  %x = f32[4,8]{1,0} parameter(0)
  %t0 = (f32[4,8]{1,0}) tuple(%x)
  ROOT %w = (f32[4,8]{1,0}) while(%t0), condition=%cond, body=%body, backend_config={"known_trip_count":{"n":"5"}}
}
"""
    found = read(text, 2)
    assert found.macs == {"f32": 5 * 4 * 16 * 8} and not found.endless
    assert found.by_kind() == {"all-gather": {"count": 5, "bytes": 5 * 128}}
    endless = read(text.replace("known_trip_count", "unknown"), 2)
    assert endless.endless == 1 and endless.macs == {"f32": 4 * 16 * 8}


def test_traffic_is_what_kernels_read_and_write_in_the_devices_memory():
    """Not what lies on the chip, a cache may keep, or an asynchronous copy names a second time."""
    text = """  %x = f32[1000]{0} parameter(0)
  %s = (f32[1000]{0:T(8)S(1)}, f32[1000]{0}, u32[]{:S(2)}) copy-start(%x)
  %d = f32[1000]{0:T(8)S(1)} copy-done(%s)
  %n = f32[1000]{0:T(8)S(1)} negate(%d)
  %y = f32[1000]{0} add(%n, %x)
  ROOT %z = f32[10]{0} slice(%y), slice={[0:10]}"""
    copied, added, sliced = 4000, 8000, 80
    assert program(text).traffic == copied + added + sliced
    cached = read(f"HloModule m\n\nENTRY %main () -> f32[] {{\n{text}\n}}\n", 1, cache=3000)
    assert cached.traffic == 1000 + 2 * 1000 + 40


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 4)])
def test_convolutions_of_a_compiled_program_have_the_multiply_adds_of_the_jaxpr(padding, stride, dilation, groups):
    def convolve(x, kernel):
        dims = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), padding, None, (dilation, dilation), dims, groups
        )

    x, kernel = jnp.zeros((2, 9, 9, 8)), jnp.zeros((3, 3, 8 // groups, 16))
    found = read(jax.jit(convolve).lower(x, kernel).compile().as_text(), 1)
    assert sum(found.macs.values()) == count_macs(convolve, x, kernel)
    assert (sum(found.valid_macs.values()) < sum(found.macs.values())) == (padding == "SAME")


@pytest.mark.parametrize(
    "text",
    [
        "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 25.50G of 15.75G hbm. Exceeded by 9.75G.",
        "RESOURCE_EXHAUSTED: E1000: Ran out of memory on HBM, the total memory required for HLO temporaries (25.50G)"
        " exceeds available HBM (15.75G). HLO module: jit_f.",
    ],
)
def test_a_lack_of_memory_is_read_off_the_compilers_refusal(text):
    found = refusal(text)
    assert found == {"peak": int(25.5 * 2**30), "exceeds": int(15.75 * 2**30)}
    assert verdict(found, place("tpu:v5e:2x4"))["fits"] is False
    other = verdict(refusal("INTERNAL: no tile sizes\nfor this"), place("h100"))
    assert other["fits"] is None and other["reason"] == "INTERNAL: no tile sizes\\nfor this"


# Bounds.


def test_collectives_take_at_least_what_goes_through_the_narrowest_way():
    eight, size = tuple(range(8)), 8 * 10**9
    a100, h100, v5e = KINDS["a100"], KINDS["h100"], KINDS["v5e"]
    assert seconds(Collective("all-reduce", size, eight, 1), a100, 8) == pytest.approx(2 * 7 / 8 * size / 300e9)
    assert seconds(Collective("all-reduce", size, eight, 1), h100, 8) == pytest.approx(size / 450e9)
    assert seconds(Collective("all-gather", size, eight, 1), v5e, 8) == pytest.approx(7 / 8 * size / 200e9)
    # Two hosts: half of the sum's 2 · size crosses the network, on the adapters of eight devices.
    two = Collective("all-reduce", size, tuple(range(16)), 1)
    assert seconds(two, a100, 8) == pytest.approx(max(2 * 7 / 8 * size / 300e9, size / (8 * 25e9)))
    # One device of each host: its own adapter alone.
    apart = Collective("all-reduce", size, (0, 8), 1)
    assert seconds(apart, h100, 8) == pytest.approx(size / 50e9)
    assert seconds(Collective("collective-permute", size, (), 1), v5e, 8) == pytest.approx(size / 200e9)


# Figures, on the CPU.


@pytest.fixture(scope="module")
def wide():
    """The train step of `mlp_digits` at batch 128 on 1, 8 and 64 CPU devices."""
    return {count: compiled(f"cpu:{count}", "mlp_digits") for count in (1, 8, 64)}


def test_at_a_fixed_global_batch_products_and_rows_fall_with_the_devices(wide):
    for count, row in wide.items():
        assert sum(row["compiled_macs"].values()) * count == sum(wide[1]["compiled_macs"].values())
        assert row["sizes"]["batch"] * count == wide[1]["sizes"]["batch"]
        assert row["sizes"]["parameters"] == wide[1]["sizes"]["parameters"]  # replicated
        assert bool(row["collectives"]) == (count > 1)
    assert wide[64]["memory"]["temporaries"] < wide[1]["memory"]["temporaries"]
    for count in (8, 64):  # the sum of the gradients, and of a few numbers
        summed = wide[count]["collectives"]["all-reduce"]["bytes"]
        assert wide[1]["sizes"]["parameters"] <= summed < 1.1 * wide[1]["sizes"]["parameters"]


def test_shared_parameters_fall_with_the_devices_that_share_them(wide):
    row = compiled("cpu:8", "mlp_digits", **{"devices.kind": "mesh", "devices.fsdp": 8})
    whole = wide[8]["sizes"]
    for kind in ("parameters", "optimizer state"):
        assert row["sizes"][kind] < whole[kind] / 4  # of 10 biases each device has all
    assert "all-gather" in row["collectives"]


def test_products_are_those_that_are_counted_without_compiling(wide):
    for row in (wide[1], wide[8], compiled("cpu:1", "lenet5_digits")):
        assert sum(row["compiled_macs"].values()) == pytest.approx(row["macs"], rel=0.02)


@pytest.mark.parametrize(
    ("page", "overrides"),
    [
        ("lenet5_digits", {"train.batch_size": 4096}),
        ("mlp_digits", {"train.batch_size": 32768, "model.hidden": "(512,512)"}),
    ],
)
def test_predicted_memory_is_what_a_step_takes(page, overrides):
    """Where the runtime's own scratch, for convolutions with many channels, is small beside the step."""
    users = dict(XLA_FLAGS="", JAX_DISABLE_MOST_OPTIMIZATIONS="0", JAX_PLATFORMS="cpu")
    with Elsewhere(step_memory, page, [(key, str(value)) for key, value in overrides.items()], **users) as child:
        row = child.ask()
    assert row["measured_mb"] > 300
    assert row["predicted_mb"] == pytest.approx(row["measured_mb"], rel=0.15)


def test_kinds_of_memory_add_up_to_the_peak(wide):
    """Of a page that holds fields which its step does not read, too."""
    for row in [*wide.values(), compiled("cpu:1", "vae_mnist", **{"data.name": "digits"})]:
        assert min(memory_by_kind(row).values()) >= 0
        assert sum(memory_by_kind(row).values()) == row["peak"]


@pytest.mark.parametrize("kind", ["pmap", "mesh"])
def test_the_arguments_are_those_of_a_run(kind, monkeypatch):
    """Shapes, types and bytes on each device, of a resident page, of a streamed one, and of two players."""
    monkeypatch.setattr(jax, "pmap", jax.pmap)  # which a rehearsal sets
    monkeypatch.setattr(jax, "default_backend", jax.default_backend)
    for page, overrides in (
        ("mlp_digits", []),
        ("unet_scenes", [("data.resident", "no")]),
        ("wgan_gp_gaussians:small", []),
        ("cyclegan_tinted_digits", []),
    ):
        config = override(load(page), [("devices.kind", kind), *overrides])
        parts = Parts(config)
        state = parts.devices.put_state(parts.initial_state())
        given = (
            state,
            parts.resident("train"),
            next(parts.feeds(0)),
            parts.placed_frozen,
            parts.devices.put(parts.hyper),
        )
        found = Rehearsal(config, place("cpu:8")).program("train")
        described = lambda x: (x.shape, x.dtype)
        assert jax.tree.map(described, found.arguments) == jax.tree.map(described, given)
        held = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state.params))
        assert found.sizes["parameters"] == held


def test_absent_data_are_taken_as_the_page_declares_them(tmp_path):
    page = override(load("resnet20_cifar10"), [("data.data_dir", str(tmp_path))])
    found = shapes(Parts(page))
    assert found.absent and len(found.info.classes) == 10
    assert found.resident("train")["image"].shape == (45_000, 32, 32, 3)
    folder = [("data.name", f"folder:{tmp_path}/none"), ("data.image_size", "224"), ("data.num_classes", "7")]
    found = shapes(Parts(override(load("resnet50_imagenet"), [*folder, ("train.batch_size", "8")])))
    assert found.absent and found.info.shape == (224, 224, 3) and len(found.info.classes) == 7


# Searches.


@pytest.mark.parametrize("most", [3, 100, 5000])
def test_the_largest_batch_is_found_in_few_programs(most):
    """Of a program whose memory is a constant and a multiple of the batch."""
    asked = []

    def rehearse(size):
        asked.append(size)
        return {"fits": size <= 8 * most, "peak": 100 + size, "limit": 100 + 8 * most}

    found = largest_batch(8, 64, rehearse)
    assert found.row["fits"] and found.size <= 8 * most < found.exceeds
    assert found.exceeds - found.size <= max(8, found.size / 32)
    assert len(asked) == len(set(asked)) <= 14


@pytest.mark.parametrize("unit", [8, 24])
def test_the_search_ends_at_the_largest_batch_that_it_tries(unit):
    asked = []

    def rehearse(size):
        asked.append(size)
        assert len(asked) < 100, "it does not end"
        return {"fits": True, "peak": size, "limit": 2**40}

    assert largest_batch(unit, 64, rehearse, most=2**12).size == 2**12 // unit * unit
    assert max(asked) <= 2**12


def test_no_batch_fits_or_none_compiles():
    assert largest_batch(8, 64, lambda size: {"fits": False, "peak": 9, "limit": 8}).size == 0
    with pytest.raises(PageError, match="does not compile: so"):
        largest_batch(8, 64, lambda size: {"fits": None, "reason": "so"})


def test_a_file_that_the_picture_would_replace_is_refused(tmp_path):
    assert json_file(str(tmp_path / "found.json")) == str(tmp_path / "found.json")
    with pytest.raises(argparse.ArgumentTypeError, match=r"found\.png does not end in \.json"):
        json_file(str(tmp_path / "found.png"))


def test_alternatives_are_the_product_and_suggestions_the_least_change_first():
    assert len(alternatives([("a", ["1", "2"]), ("b", ["1", "2", "3"])])) == 6 and alternatives([]) == [()]
    page = load("vit_fashion_mnist_small")
    found = list(suggestions(page, place("h100:2x8")))
    remat, shared = (("model.remat", "true"),), (("devices.kind", "mesh"), ("devices.fsdp", "8"))
    assert found[:3] == [remat, shared, remat + shared]
    assert [changes[-1] for changes in found[3:]] == [("train.batch_size", str(size)) for size in (64, 32, 16)]


def test_what_does_not_fit_is_made_to_fit_by_what_the_command_suggests(fovea, tmp_path):
    big, out = {"train.batch_size": 4096, "model.hidden": "(512,512)"}, tmp_path / "found.json"
    on = ("rehearse", "--config", "mlp_digits", "--on", "cpu:1", "--memory", "0.02")
    found = fovea(*on, "--out", out, **big)
    rows = json.loads(out.read_text())["rows"]
    assert found.code == 0 and "does not fit" in found.out and not rows[0]["fits"] and rows[-1]["fits"]
    assert out.with_suffix(".png").stat().st_size > 1000
    (suggested,) = [line for line in found.out.splitlines() if line.startswith("it fits with ")]
    changed = dict(word.removeprefix("--config.").split("=") for word in suggested.split()[3:])
    assert fovea(*on, **{**big, **changed}).out.count(": fits") == 1


def test_what_fits_nowhere_ends_with_failure(fovea):
    found = fovea(
        "rehearse", "--config", "mlp_digits", "--on", "cpu:8", "--memory", "0.0001", **{"train.batch_size": 8}
    )
    assert found.code == 1 and "it fits" not in found.out


class Fake:
    """A compiler in whose eyes nothing fits."""

    def __init__(self, where):
        self.row = {"peak": 2**50, "exceeds": 2**34}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def compile(self, *asked):
        return self.row


def test_what_does_not_fit_is_not_launched_unless_forced(fovea, monkeypatch, tmp_path):
    launched = []
    job = type("Job", (), dict(name="job", log=tmp_path / "log.txt", stopping=""))
    monkeypatch.setattr("experiments.commands.launch.Compiler", Fake)
    monkeypatch.setattr("experiments.commands.launch.submit", lambda *asked: launched.append(asked) or (job,))
    launch = ("launch", "--config", "mlp_digits", "--workdir", tmp_path / "run", "--rehearse", "h100:8")
    refused = fovea(*launch)
    assert refused.code == 2 and "does not fit h100:8: it takes" in refused.error and not launched
    assert "--force" in refused.error and not (tmp_path / "run").exists()
    forced = fovea(*launch, "--force")
    assert forced.code == 0 and "does not fit h100:8" in forced.error and len(launched) == 1


def test_pictures_show_what_was_refused_too():
    known = {"fits": True, "limit": 10, "peak": 8, "sizes": {"batch": 2}}
    known |= {"memory": {"arguments": 2, "results": 0, "temporaries": 6, "code": 0}}
    figure = memory_picture({"a": known, "b": {"fits": False, "limit": 10, "peak": 20, "exceeds": 10}})
    labels = {text.get_text() for text in figure.axes[0].get_legend().get_texts()}
    assert {"batch", "temporaries", "refused by XLA", "limit"} <= labels


# Accelerators that are not here.


@pytest.fixture(scope="module")
def h100():
    needs("gpu")
    with Compiler(place("h100:8")) as compiler:
        yield compiler


@pytest.fixture(scope="module")
def v5e():
    needs("tpu")
    with Compiler(place("tpu:v5e:2x2")) as compiler:
        yield compiler


def check(compiler: Compiler, page: str, overrides=(), program: str = "train") -> dict:
    row = verdict(compiler.compile(page, list(overrides), program), compiler.place)
    assert row["fits"] and not row["not_counted"], row
    assert sum(memory_by_kind(row).values()) == row["peak"]
    assert row["seconds_at_least"] == max(row["bounds"].values()) > 0
    if program == "train":
        assert row["collectives"]["all-reduce"]["bytes"] >= row["sizes"]["parameters"]
        assert set(row["collectives"]) <= {"all-reduce", "all-gather", "reduce-scatter"}
    return row


PAIRS = [("data.sampler", "pk(8, 6)"), ("train.batch_size", "48")]  # of a batch that eight devices divide


@pytest.mark.parametrize(
    ("page", "overrides"),
    [("mlp_digits", []), ("lenet5_digits", []), ("gan_gaussians:small", []), ("triplet_digits", PAIRS)],
)
def test_small_pages_compile_for_eight_gpus(h100, page, overrides):
    row = check(h100, page, overrides)
    assert ("all-gather" in row["collectives"]) == (page == "triplet_digits")  # whose loss is over the global batch


@pytest.mark.parametrize("page", ["mlp_digits", "gan_gaussians:small"])
def test_small_pages_compile_for_a_tpu_slice(v5e, page):
    row = check(v5e, page)
    assert row["memory"]["code"] > 0


def test_samples_and_evaluation_compile_too(h100):
    check(h100, "gan_gaussians:small", program="sample")
    assert np.isfinite(check(h100, "mlp_digits", program="evaluate")["images_per_s_at_most"])


def test_remat_is_suggested_where_it_makes_a_page_fit(fovea):
    needs("gpu")
    small = {"data.name": "digits", "model.depth": 4, "train.batch_size": 2048}
    found = fovea("rehearse", "--config", "vit_fashion_mnist_small", "--on", "h100:1", "--memory", "0.25", **small)
    assert found.code == 0 and "does not fit" in found.out
    assert found.out.rstrip().endswith("it fits with --config.model.remat=true")


def test_what_a_tpu_refuses_says_how_much_it_needs(fovea):
    needs("tpu")
    found = fovea("rehearse", "--config", "mlp_digits", "--on", "tpu:v5e:1x1", **{"model.hidden": "(40000,40000)"})
    assert "does not fit: XLA needs at least 23.92 GiB of 15.75 GiB" in found.out


def test_xla_counts_the_products_that_we_count(v5e):
    """Where products are most of what a step computes."""
    large = [("model.hidden", "(2048,2048)"), ("train.batch_size", "1024")]
    row = check(v5e, "mlp_digits", large)
    assert 2 * sum(row["valid_macs"].values()) == pytest.approx(row["xla_flops"], rel=0.05)
    assert sum(row["compiled_macs"].values()) == pytest.approx(row["macs"], rel=0.02)
