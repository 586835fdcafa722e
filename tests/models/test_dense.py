"""Networks that classify pixels: against independent implementations, their counts, and images of any size."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.classification import drn, hybrid_resnet
from models.classification.resnet import ResNet
from models.classification.vgg import VGG
from models.detection.fpn import FPN
from models.errors import ModelError
from models.port import Port, Slice
from models.segmentation import (
    attention_unet,
    deconvnet,
    deeplab,
    fcn,
    pspnet,
    residual_unet,
    segformer,
    segnet,
    semantic_fpn,
    transunet,
    unet_plus_plus,
)
from tests.goldens.make_classification import seeded_images
from tests.models.parity import NAMED_AS_OURS, abstract, assert_classifier_parity, filled, quickly

STAGES = ("stage1", "stage2", "stage3", "stage4")
ATROUS = ResNet(14, width=16, output_stride=8, num_classes=0, param_dtype=jnp.float64)
OVER_RESNET = Port({k: v for k, v in fcn.PORTS["torchvision"].names.items() if "classifier" not in v})


def _place(way, stage, number):
    """The goldens number the layers of a stage in the order of use."""
    return number - 1 if way == "down" else {1: 2, 2: 3}[stage] - number


ENCODER_LAYER = Port(
    {
        **OVER_RESNET.names,
        r"/attention/(query|key|value)/(weight|bias)": r"/self_attn/in_proj_\2",
        "/attention/out/": "/self_attn/out_proj/",
        r"/mlp(\d)/": r"/linear\1/",
        r"^step(\d)_(\d)/": lambda match: f"step{match[1]}/{int(match[2]) - 1}/",
        r"^(bridge|step./.)/conv/": r"\1/0/",
        r"^(bridge|step./.)/norm/": r"\1/1/",
    },
    slices={"/query/": Slice(0, 3), "/key/": Slice(1, 3), "/value/": Slice(2, 3)},
)
MIRROR = Port(
    {
        r"^(down|up)(\d)_(\d)/": lambda match: (
            f"{match[1]}{match[2]}_{_place(match[1], int(match[2]), int(match[3]))}/"
        ),
        r"^(deconv6|fc6)_norm/": r"\1/1/",
        r"^(deconv6|fc6)/(?!1/)": r"\1/0/",
        r"^deconv(\d)_(\d)_norm/": lambda match: f"deconv{match[1]}/{2 - int(match[2])}/1/",
        r"^deconv(\d)_(\d)/": lambda match: f"deconv{match[1]}/{2 - int(match[2])}/0/",
        r"^conv(\d)_(\d)/": lambda match: f"conv{match[1]}/{int(match[2]) - 1}/",
        r"/conv/": "/0/",
        r"/norm/": "/1/",
    }
)

# Golden file -> (our network, its port).
DENSE = {
    "fcn_dilated": (
        fcn.DilatedFCN(ATROUS.clone(depth=50), auxiliary=0.5, dropout_rate=0.0),
        fcn.PORTS["torchvision"],
    ),
    "deeplab_v3": (
        deeplab.DeepLabV3(ATROUS, auxiliary=0.5, dropout_rate=0.0, head_dropout_rate=0.0),
        deeplab.PORTS["torchvision"],
    ),
    "pspnet": (pspnet.PSPNet(ATROUS, width=16, dropout_rate=0.0), OVER_RESNET),
    "fcn8s": (fcn.FCN(width=4, hidden=24, learn_last=True, dropout_rate=0.0), fcn.PORTS["pytorch_fcn"]),
    "segnet": (segnet.SegNet((2, 3), width=4), MIRROR),
    "deconvnet": (deconvnet.DeconvNet((2, 2), width=4, hidden=12, window=4), MIRROR),
    "drn_a": (drn.DRN("A-50", (1, 2, 2, 1), width=4), drn.PORTS["fyu_c"]),
    "drn_c": (drn.DRN("C-26", (1, 1, 1, 1, 2, 1, 1, 1), width=4), drn.PORTS["fyu_c"]),
    "segformer": (
        segformer.SegFormer(
            widths=(8, 16),
            depths=(1, 2),
            decoder=12,
            heads=(1, 2),
            reductions=(4, 1),
            patches=(7, 3),
            strides=(4, 2),
            stochastic_depth=0.0,
            dropout_rate=0.0,
        ),
        segformer.PORTS["transformers"],
    ),
    "attention_unet": (attention_unet.AttentionUNet(width=4, depth=2), NAMED_AS_OURS),
    "unet_plus_plus": (unet_plus_plus.UNetPlusPlus(width=4, depth=2, auxiliary=0.5), NAMED_AS_OURS),
    "residual_unet": (residual_unet.ResidualUNet(width=4, depth=1), NAMED_AS_OURS),
    "transunet": (
        transunet.TransUNet(
            ATROUS,
            level="stage4",
            skips=("stage3",),
            width=12,
            depth=1,
            heads=3,
            mlp=16,
            grid=3,
            bridge=8,
            decoder=(8, 4),
            dropout_rate=0.0,
        ),
        ENCODER_LAYER,
    ),
    "semantic_fpn": (
        semantic_fpn.SemanticFPN(FPN(ATROUS.clone(output_stride=32), STAGES, 8), width=4, groups=2),
        Port(
            {
                r"^backbone/lateral(\d)/": r"pyramid/inner_blocks/\1/0/",
                r"^backbone/output(\d)/": r"pyramid/layer_blocks/\1/0/",
                r"^backbone/backbone/": "backbone/",
                **OVER_RESNET.names,
            }
        ),
    ),
    "drn_d": (drn.DRN("D-54", (1, 1, 1, 1, 1, 1, 2, 1), width=4), drn.PORTS["fyu_d"]),
}

R50 = ResNet(50, output_stride=8, num_classes=0)
VGG16 = VGG(hidden=(), output_stride=8, num_classes=0)
# What others count of the networks of their papers, with 21 classes.
COUNTS = [
    (fcn.FCN(stride=32), 134_346_581),
    (fcn.FCN(stride=16), 134_357_354 + 7_056),
    (fcn.FCN(stride=8), 134_362_751 + 14_112),
    (fcn.FCN(stride=32, learn_last=True), 134_346_581 + 1_806_336),
    (fcn.FCN(stride=16, learn_last=True), 134_357_354 + 458_640),
    (fcn.FCN(stride=8, learn_last=True), 134_362_751 + 127_008),
    (fcn.DilatedFCN(R50), 32_957_013),
    (fcn.DilatedFCN(R50, auxiliary=0.5), 35_322_218),
    (fcn.DilatedFCN(R50.clone(depth=101)), 51_949_141),
    (fcn.DilatedFCN(R50.clone(depth=101), auxiliary=0.5), 54_314_346),
    (deeplab.DeepLabV3(R50), 39_638_869),
    (deeplab.DeepLabV3(R50, auxiliary=0.5), 42_004_074),
    (deeplab.DeepLabV3(R50.clone(depth=101)), 58_630_997),
    (deeplab.DeepLabV3(R50.clone(depth=101), auxiliary=0.5), 60_996_202),
    (deeplab.DeepLab(VGG16, dilations=(12,)), 20_505_429),  # Chen et al. 2015, table 2, rounds to 20.5 millions
    *(
        (segformer.SegFormer(variant, num_classes=150), parameters)  # of transformers
        for variant, parameters in {
            "B0": 3_752_694,
            "B1": 13_715_798,
            "B2": 27_461_974,
            "B3": 47_337_814,
            "B4": 64_108_374,
            "B5": 84_708_694,
        }.items()
    ),
    (unet_plus_plus.UNetPlusPlus(num_classes=1), 9_041_601 + 576),  # the authors' code, of images of one channel
    # Zhang et al. 2018, table III, give 7.8 millions, which leaves out the projections of its shortcuts.
    (residual_unet.ResidualUNet(num_classes=1), 8_220_993),
    (transunet.TransUNet(hybrid_resnet.HybridResNet(num_classes=0), num_classes=2), 105_276_066),  # the authors' code
    (segnet.SegNet(), 29_449_355),  # Badrinarayanan et al. 2017 round to 29.45 millions
    (deconvnet.DeconvNet(), 251_805_653),  # by the layers of table 5 of Noh et al. 2015; 252 millions
]


@pytest.mark.parametrize("file", DENSE)
def test_it_computes_what_the_reference_computes(file):
    assert_classifier_parity(file, *DENSE[file])


@pytest.mark.parametrize(("network", "parameters"), COUNTS)
def test_counts_are_the_published_ones(network, parameters):
    like = abstract(network, jnp.zeros((1, 64, 64, 3)), train=False)
    assert sum(leaf.size for leaf in jax.tree.leaves(like["params"])) == parameters


SMALL = ResNet(14, width=4, output_stride=8, num_classes=0)
TINY_VGG = VGG(width=2, hidden=(), output_stride=8, num_classes=0)
ANY_SIZE = [
    fcn.FCN(width=2, hidden=4),
    fcn.FCN(width=2, hidden=4, border=1),
    fcn.FCN(stride=16, width=2, hidden=4, border=1),
    fcn.FCN(stride=32, width=2, hidden=4, border=1),
    fcn.DilatedFCN(SMALL),
    deeplab.DeepLab(TINY_VGG, hidden=4),
    deeplab.DeepLabV3(SMALL, width=4),
    deeplab.DeepLabV3(SMALL, width=4, low="stage1"),
    pspnet.PSPNet(SMALL, width=4),
    segnet.SegNet(width=2),
    deconvnet.DeconvNet(width=2, hidden=3),
    attention_unet.AttentionUNet(width=2),
    unet_plus_plus.UNetPlusPlus(width=2, auxiliary=0.5),
    residual_unet.ResidualUNet(width=2),
    transunet.TransUNet(SMALL, width=8, depth=1, heads=2, mlp=8, grid=2, bridge=4, decoder=(4, 4, 4, 4)),
    semantic_fpn.SemanticFPN(FPN(SMALL.clone(output_stride=32), STAGES, 4), width=4, groups=2),
    segformer.SegFormer(widths=(4, 4, 10, 8), depths=(1, 1, 1, 1), decoder=4),
    fcn.DilatedFCN(drn.DRN("D-22", width=2, num_classes=0), level="stage8", hidden=False),
]


@pytest.mark.parametrize("network", ANY_SIZE, ids=lambda network: type(network).__name__)
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (70, 41)])
def test_the_logits_have_the_size_of_the_image(network, size):
    logits, _ = jax.eval_shape(
        partial(network.clone(num_classes=5).init_with_output, train=False), jax.random.key(0), jnp.zeros((2, *size, 3))
    )
    assert logits.shape == (2, *size, 5)


@pytest.mark.parametrize(("border", "side"), [(100, 58), (1, 64)])  # what the poolings halve without a remainder
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_a_mirrored_image_has_mirrored_scores_in_fcn(stride, border, side):
    """With kernels that are their own mirror images: no stream is a pixel off."""
    network = fcn.FCN(stride=stride, width=1, hidden=2, border=border, at_once=False, num_classes=2)
    image = seeded_images(1, side, side, 3)
    variables = filled(abstract(network, image, train=False))
    variables = jax.tree.map(lambda x: x + x[:, ::-1] if x.ndim == 4 else x, variables)
    run = quickly(partial(network.apply, train=False))
    logits, mirrored = run(variables, image), run(variables, image[:, :, ::-1])
    assert np.ptp(logits) > 0
    np.testing.assert_allclose(mirrored[:, :, ::-1], logits, rtol=1e-3, atol=1e-4 * np.abs(logits).max())


def test_the_fixed_upsampling_is_what_the_learned_one_starts_with():
    images = seeded_images(1, 40, 44, 3)
    learned = fcn.FCN(width=2, hidden=4, learn_last=True, num_classes=3)
    variables = filled(abstract(learned, images, train=False))
    kernel = variables["params"].pop("upscore8")["kernel"]
    start = {"params": {**variables["params"], "upscore8": {"kernel": fcn.bilinear_init(None, kernel.shape)}}}
    fixed = quickly(partial(learned.clone(learn_last=False).apply, train=False))(variables, images)
    found = quickly(partial(learned.apply, train=False))(start, images)
    np.testing.assert_allclose(fixed, found, rtol=1e-4, atol=1e-4 * np.abs(found).max())


def test_a_new_stream_of_fcn_first_answers_as_the_network_it_begins_with():
    """Staged training: the scores of pool3 start at 0, and the upsampling in between is bilinear."""
    images = seeded_images(1, 96, 96, 3)
    old, new = (fcn.FCN(stride=stride, width=2, hidden=4, num_classes=3, border=1) for stride in (16, 8))
    before = filled(abstract(old, images, train=False))["params"]
    after = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), abstract(new, images, train=False)["params"]) | before
    after["upscore_pool3"] = {"kernel": fcn.bilinear_init(None, (4, 4, 3, 3))}
    run = lambda network, params: quickly(partial(network.apply, train=False))({"params": params}, images)
    logits, again = run(old, before), run(new, after)
    # Two bilinear steps, of 2 and of 8, are nearly one of 16.
    assert np.corrcoef(np.ravel(logits), np.ravel(again))[0, 1] > 0.95


@pytest.mark.parametrize("stride", [8, 16])
def test_an_atrous_resnet_gives_the_map_of_the_plain_one_between_its_pixels(stride):
    """Chen et al. 2015, section 3.1: some pixels of the denser map are those of the network that strides."""
    images = seeded_images(1, 65, 65, 3)
    plain = ResNet(14, width=4, num_classes=0)
    variables = jax.tree.map(abs, filled(abstract(plain, images, train=False)))
    maps = quickly(partial(plain.apply, train=False))(variables, images)
    dense = quickly(partial(plain.clone(output_stride=stride).apply, train=False))(variables, images)
    assert dense["stage4"].shape[1] == -(-65 // stride)
    found = dense["stage4"][:, :: 32 // stride, :: 32 // stride]
    np.testing.assert_allclose(found, maps["stage4"], rtol=1e-4)


@pytest.mark.parametrize(
    ("fields", "dilations"),
    [
        (dict(output_stride=16), [1] * 13 + [1, 2, 2]),  # the first block of a stage is as dilated as the one before it
        (dict(output_stride=8), [1] * 7 + [1, 2, 2, 2, 2, 2] + [2, 4, 4]),
        (dict(output_stride=16, multi_grid=(1, 2, 4)), [1] * 13 + [2, 4, 8]),  # Chen et al. 2017, section 3.1
    ],
)
def test_the_dilations_of_an_atrous_resnet(fields, dilations):
    network, image = ResNet(50, width=4, num_classes=0, **fields), jnp.zeros((1, 64, 64, 3))
    jaxpr = jax.make_jaxpr(partial(network.init_with_output, train=False))(jax.random.key(0), image)
    convolutions = [e for e in jaxpr.eqns if e.primitive.name == "conv_general_dilated"]
    found = [e.params["rhs_dilation"][0] for e in convolutions if e.invars[1].aval.shape[:2] == (3, 3)]
    assert found == dilations


@pytest.mark.parametrize("kind", ["v1", "v2"])
def test_a_deformable_resnet_starts_as_the_plain_one(kind):
    """Its offsets are 0; the samples of v2 weigh a half, for which its kernels make up here."""
    images = seeded_images(1, 33, 33, 3)
    plain = ResNet(14, width=4, num_classes=0)
    deformable = plain.clone(deformable=kind, deformable_stages=2)
    variables = filled(abstract(plain, images, train=False))
    variables["batch_stats"] = jax.tree.map(abs, variables["batch_stats"])
    params = dict(variables["params"])
    for stage in (3, 4):
        block = dict(params[f"layer{stage}_0"])
        channels = 3 * 9 if kind == "v2" else 2 * 9
        offset = {"kernel": np.zeros((3, 3, 4 << (stage - 1), channels)), "bias": np.zeros(channels)}
        factor = 2 if kind == "v2" else 1
        block["conv2"] = {"kernel": factor * block["conv2"]["kernel"], "offset": offset}
        params[f"layer{stage}_0"] = block
    like = abstract(deformable, images, train=False)["params"]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, like)
    maps = quickly(partial(plain.apply, train=False))(variables, images)
    found = quickly(partial(deformable.apply, train=False))({**variables, "params": params}, images)
    np.testing.assert_allclose(found["stage4"], maps["stage4"], rtol=1e-3, atol=1e-4 * np.abs(maps["stage4"]).max())


def test_fields_that_do_not_fit_are_one_clear_line():
    image = jnp.zeros((1, 64, 64, 3))
    for network, message in (
        (ResNet(14, output_stride=12), "output_stride=12 is not a power of 2 from 4 to 32"),
        (ResNet(14, output_stride=8, blur=True), "exclude blur"),
        (ResNet(14, deformable="v2", groups=2, base_width=32), "one group of channels, not groups=2"),
        (ResNet(14, deformable="v3"), "deformable='v3' is not one of"),
        (VGG(output_stride=5), "output_stride=5 is not a power of 2"),
        (fcn.FCN(stride=4), "stride=4 is not one of 32, 16, 8"),
        (deeplab.DeepLabV3(SMALL, level="stage5"), "did you mean 'stage"),
        (pspnet.PSPNet(SMALL, bins=(1, 2, 3)), "3 grids do not share the 128 channels"),
    ):
        with pytest.raises(ModelError, match=message):
            abstract(network, image, train=False)
