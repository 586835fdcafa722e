"""The section `data` of sets that several pages are trained on."""

# The section `data` of a classifier on ImageNet, whose images are streamed. A hundredth of the training set chooses the
# checkpoint, and the published validation set is the test set.
IMAGENET = dict(
    name="tfds:imagenet2012",
    train="train[:99%]",
    validation="train[99%:]",
    test="validation",
    image_size=224,
    crop="random",
    resident="no",
    augment=("flip",),
)

# COCO's detection set in a folder of its own layout. A hundredth of the training set chooses the checkpoint.
COCO = dict(name="coco:coco", train="train2017[:99%]", validation="train2017[99%:]", test="val2017", augment=("flip",))

# MNIST with pixels of 0 and 1, in the fixed drawing of Larochelle & Murray 2011.
BINARIZED_MNIST = dict(
    name="binarized_mnist:binarized_mnist_packed.npz", train="train", validation="valid", test="test", scale="unit"
)
