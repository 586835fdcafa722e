"""The data sets and samplers by name: "module:function", a line an entry. Listing them imports nothing."""

SOURCES = {
    "binarized_mnist": "data.binarized_mnist:binarized_mnist",
    "boxes": "data.annotations:boxes",
    "captions": "data.annotations:captions",
    "coco": "data.coco:coco",
    "digits": "data.digits:digits",
    "folder": "data.folder:folder",
    "gaussians": "data.gaussians:gaussians",
    "image": "data.image:image",
    "npz": "data.npz:npz",
    "pairs": "data.pairs:pairs",
    "scenes": "data.scenes:scenes",
    "synthetic": "data.synthetic:synthetic",
    "tfds": "data.tfds_source:tfds",
    "tinted_digits": "data.tinted_digits:tinted_digits",
    "unpaired": "data.unpaired:unpaired",
    "voc": "data.voc:voc",
    "side_by_side": "data.side_by_side:side_by_side",
}

SAMPLERS = {
    "shuffled": "data.samplers:shuffled",
    "balanced": "data.samplers:balanced",
    "weighted": "data.samplers:weighted",
    "pk": "data.samplers:pk",
    "unpaired": "data.samplers:unpaired",
}
