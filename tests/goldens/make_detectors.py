"""Reference outputs of torchvision's detectors: heads, losses and their gradients, final boxes.

python -m tests.goldens.make_detectors [NAME ...]    # needs torch and torchvision
"""

import sys

import numpy as np

from tests.goldens.make_classification import seeded_images
from tests.goldens.record import HERE, digest, seed

CLASSES, WIDTH = 4, 64
ROIS = 100  # of Mask R-CNN: more than it has proposals and objects
SIZE = 64, 96  # of the images: height, width
AS_THEY_ARE = dict(min_size=SIZE[0], max_size=SIZE[1], image_mean=[0.0] * 3, image_std=[1.0] * 3)

# The objects of each image: x1, y1, x2, y2, class. Classes are those of ours, from 0.
OBJECTS = (
    ((10.0, 12.0, 50.0, 40.0, 1), (30.0, 5.0, 90.0, 60.0, 3), (55.0, 35.0, 71.0, 52.0, 2)),
    ((4.0, 20.0, 34.0, 58.0, 2),),
)


def pyramid(levels: tuple[int, ...], extra):
    """torchvision's ResNet with a bottleneck a stage, and its FPN."""
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.resnet import Bottleneck, ResNet

    body = ResNet(Bottleneck, [1, 1, 1, 1])
    channels = [256 * 2 ** (level - 1) for level in levels]
    return BackboneWithFPN(body, {f"layer{i}": str(i) for i in levels}, channels, WIDTH, extra)


def targets(first: int = 0):
    """The objects as torchvision takes them; `first` is its number of our class 0."""
    import torch

    rows = [torch.tensor(objects, dtype=torch.float64) for objects in OBJECTS]
    return [{"boxes": row[:, :4], "labels": row[:, 4].long() + first} for row in rows]


def images():
    import torch

    return torch.from_numpy(seeded_images(len(OBJECTS), *SIZE, 3).transpose(0, 3, 1, 2).copy()).double()


def record(file: str, model, outputs: dict, losses: dict, given=None, found=None):
    """Stores digests of `outputs` and of the gradients of the sum of `losses`, the losses, and the final boxes.

    `given` are the images, where they are not those of the other detectors; `found`, the final boxes of each image,
    where the model itself does not answer with them.
    """
    import torch

    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if tensor.ndim}
    sum(losses.values()).backward()
    gradients = {name: x.grad.numpy() for name, x in model.named_parameters() if x.grad is not None}
    if found is None:
        with torch.no_grad():
            found = model(list(images() if given is None else given))
    np.savez_compressed(
        HERE / f"{file}.npz",
        names=np.array(list(shapes)),
        shapes=np.array([" ".join(map(str, shape)) for shape in shapes.values()]),
        gradient_names=np.array(list(gradients)),
        gradients=np.array([digest(name, gradient) for name, gradient in gradients.items()]),
        **{f"output/{name}": digest(name, x.detach().numpy()) for name, x in outputs.items()},
        **{f"loss/{name}": x.detach().numpy() for name, x in losses.items()},
        **{f"found/{i}/{name}": x.numpy() for i, one in enumerate(found) for name, x in one.items() if name != "masks"},
    )


def anchors_of(model, features, given=None):
    from torchvision.models.detection.image_list import ImageList

    given = images() if given is None else given
    return model.anchor_generator(ImageList(given, [tuple(x.shape[1:]) for x in given]), features)


def retinanet():
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.retinanet import RetinaNet
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    sizes = tuple((x, int(x * 2 ** (1 / 3)), int(x * 2 ** (2 / 3))) for x in (16, 24, 48, 64, 96))
    anchors = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))
    backbone = pyramid((2, 3, 4), LastLevelP6P7(WIDTH, WIDTH))
    model = seed(RetinaNet(backbone, CLASSES, anchor_generator=anchors, detections_per_img=50, **AS_THEY_ARE))
    model = model.double().eval()
    features = list(model.backbone(images()).values())
    outputs = model.head(features)
    losses = model.compute_loss(targets(), outputs, anchors_of(model, features))
    record("retinanet", model, outputs, losses)


def fcos():
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.fcos import FCOS
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    sizes = tuple((x,) for x in (4, 8, 16, 24, 32))
    anchors = AnchorGenerator(sizes, ((1.0,),) * len(sizes))
    backbone = pyramid((2, 3, 4), LastLevelP6P7(WIDTH, WIDTH))
    model = seed(FCOS(backbone, CLASSES, anchor_generator=anchors, detections_per_img=50, **AS_THEY_ARE))
    model = model.double().eval()
    features = list(model.backbone(images()).values())
    outputs = model.head(features)
    counts = [x.shape[2] * x.shape[3] for x in features]
    losses = model.compute_loss(targets(), outputs, anchors_of(model, features), counts)
    outputs["bbox_ctrness"] = outputs["bbox_ctrness"][..., 0]
    record("fcos", model, outputs, losses)


def ssd300():
    """Whole, with an image of 300×300: torchvision writes its widths into the code."""
    import torch
    from torchvision import ops
    from torchvision.models import vgg16
    from torchvision.models.detection import _utils, ssd
    from torchvision.models.detection.anchor_utils import DefaultBoxGenerator

    body = ssd.SSDFeatureExtractorVGG(vgg16(num_classes=CLASSES).features, highres=False)
    boxes = DefaultBoxGenerator(
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
        steps=[8, 16, 32, 64, 100, 300],
    )
    plain = dict(image_mean=[0.0] * 3, image_std=[1.0] * 3)
    model = seed(ssd.SSD(body, boxes, (300, 300), 1 + CLASSES, detections_per_img=50, score_thresh=0.3, **plain))
    model = model.double().eval()
    given = torch.from_numpy(seeded_images(1, 300, 300, 3).transpose(0, 3, 1, 2).copy()).double()
    features = list(model.backbone(given).values())
    outputs = model.head(features)
    anchors = anchors_of(model, features, given)
    truth = targets(first=1)[:1]
    overlaps = ops.box_iou(truth[0]["boxes"], anchors[0])
    losses = model.compute_loss(truth, outputs, anchors, [_utils.SSDMatcher(0.5)(overlaps)])
    record("ssd300", model, outputs, losses, given)


def mask_rcnn():
    """Of one image, with enough samples to make chance negligible."""
    import torch
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.mask_rcnn import MaskRCNN, MaskRCNNHeads, MaskRCNNPredictor
    from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

    sizes = tuple((x,) for x in (12, 16, 24, 32, 48))
    model = seed(
        MaskRCNN(
            pyramid((1, 2, 3, 4), LastLevelMaxPool()),
            rpn_anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes)),
            box_head=TwoMLPHead(WIDTH * 49, 32),
            box_predictor=FastRCNNPredictor(32, 1 + CLASSES),
            mask_head=MaskRCNNHeads(WIDTH, (16,) * 4, 1),
            mask_predictor=MaskRCNNPredictor(16, 16, 1 + CLASSES),
            rpn_batch_size_per_image=4000,
            box_batch_size_per_image=ROIS,
            **dict.fromkeys(("rpn_pre_nms_top_n_train", "rpn_pre_nms_top_n_test"), 60),
            **dict.fromkeys(("rpn_post_nms_top_n_train", "rpn_post_nms_top_n_test"), 40),
            box_detections_per_img=50,
            **AS_THEY_ARE,
        )
    )
    model = model.double().train()
    model.backbone.eval()
    truth = targets(first=1)[:1]
    truth[0]["masks"] = torch.from_numpy(instances() == 1 + np.arange(len(OBJECTS[0]))[:, None, None]).to(torch.uint8)
    losses = model(list(images()[:1]), truth)
    with torch.no_grad():
        objectness, codes = model.rpn.head(list(model.backbone(images()[:1]).values()))
    rows = lambda maps, n: torch.cat([x.permute(0, 2, 3, 1).reshape(1, -1, n) for x in maps], 1)
    outputs = {"objectness": rows(objectness, 1)[..., 0], "codes": rows(codes, 4)}
    model.eval()
    record("mask_rcnn", model, outputs, losses, images()[:1])


def detr():
    """That of transformers, over torchvision's ResNet with a bottleneck a stage, of one image."""
    import torch
    from torch import nn
    from torchvision.models.resnet import Bottleneck, ResNet
    from transformers import DetrConfig, DetrForObjectDetection

    config = DetrConfig(
        backbone="resnet18",
        num_labels=CLASSES,
        num_queries=8,
        d_model=32,
        **{f"{half}_{part}": n for half in ("encoder", "decoder") for part, n in (("layers", 2), ("ffn_dim", 48))},
        encoder_attention_heads=4,
        decoder_attention_heads=4,
    )
    model = DetrForObjectDetection(config)

    class Body(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = ResNet(Bottleneck, [1, 1, 1, 1])
            self.model.fc = nn.Identity()

        def forward(self, x, mask):
            body = self.model
            x = body.maxpool(body.relu(body.bn1(body.conv1(x))))
            x = body.layer4(body.layer3(body.layer2(body.layer1(x))))
            return [(x, torch.ones(x.shape[0], *x.shape[2:], dtype=torch.bool))]

    model.model.backbone, model.model.input_projection = Body(), nn.Conv2d(2048, 32, 1)
    seed(model)
    model = model.double().eval()
    height, width = SIZE
    rows = targets()[0]
    x1, y1, x2, y2 = rows["boxes"].T / torch.tensor([width, height, width, height])[:, None]
    truth = {"class_labels": rows["labels"], "boxes": torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], 1)}
    torch.set_default_dtype(torch.float64)  # the loss makes a tensor of weights
    answer = model(images()[:1], labels=[truth])
    outputs = {"logits": answer.logits, "boxes": answer.pred_boxes}
    weights = {"loss_ce": 1.0, "loss_bbox": 5.0, "loss_giou": 2.0}
    losses = {name: weight * answer.loss_dict[name] for name, weight in weights.items()}

    p = answer.logits.softmax(-1)[0, :, :-1]
    scores, labels = p.max(-1)
    x, y, w, h = answer.pred_boxes[0].T
    corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1).clamp(0, 1)
    order = scores.argsort(descending=True)
    found = {"boxes": corners * torch.tensor([width, height, width, height]), "labels": labels, "scores": scores}
    found = [{name: x.detach()[order] for name, x in found.items()}]
    record("detr", model, outputs, losses, found=found)


def instances() -> np.ndarray:
    """[H, W] of the first image: an ellipse in each box, the later over the earlier, 1 + i on object i."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    drawn = np.zeros(SIZE, np.int32)
    for i, (x1, y1, x2, y2, _) in enumerate(OBJECTS[0]):
        inside = ((2 * x - x1 - x2) / (x2 - x1)) ** 2 + ((2 * y - y1 - y2) / (y2 - y1)) ** 2 < 1
        drawn[inside] = 1 + i
    return drawn


MADE = {make.__name__: make for make in (retinanet, fcos, ssd300, mask_rcnn, detr)}

if __name__ == "__main__":
    for name in sys.argv[1:] or MADE:
        MADE[name]()
