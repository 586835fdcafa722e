"""The networks, by the name a page gives them. Looking a name up imports nothing.

A value is "module:Class", or ("module:Class", fixed fields) where one class serves several names. What a network may be
asked besides a call is in models/interfaces.py.
"""

MODELS: dict[str, str | tuple[str, dict]] = {
    # classification
    "mlp": "models.classification.mlp:MLP",
    "lenet5": "models.classification.lenet:LeNet5",
    "alexnet": "models.classification.alexnet:AlexNet",
    "zfnet": ("models.classification.alexnet:AlexNet", {"variant": "zfnet"}),
    "overfeat": "models.classification.overfeat:OverFeat",
    "vgg": "models.classification.vgg:VGG",
    "googlenet": "models.classification.googlenet:GoogLeNet",
    "nin": "models.classification.nin:NIN",
    "resnet_cifar": "models.classification.resnet_cifar:CifarResNet",
    "resnet": "models.classification.resnet:ResNet",
    "inception_v3": "models.classification.inception_v3:InceptionV3",
    "vit": "models.classification.vit:ViT",
    "resnext": ("models.classification.resnet:ResNet", dict(groups=32, base_width=4)),
    "wide_resnet_imagenet": ("models.classification.resnet:ResNet", dict(base_width=128)),
    "se_resnet": ("models.classification.resnet:ResNet", dict(attention="se")),
    "resnet_v2": "models.classification.resnet_v2:ResNetV2",
    "preact_cifar": "models.classification.preact_cifar:CifarPreActResNet",
    "wide_resnet": "models.classification.preact_cifar:WideResNet",
    "resnext_cifar": "models.classification.resnet:CifarResNeXt",
    "densenet": "models.classification.densenet:DenseNet",
    "densenet_cifar": ("models.classification.densenet:DenseNet", dict(stem="cifar")),
    "inception_v4": "models.classification.inception_v4:InceptionV4",
    "inception_resnet": "models.classification.inception_resnet:InceptionResNet",
    "senet": "models.classification.senet:SENet",
    "hybrid_resnet": "models.classification.hybrid_resnet:HybridResNet",
    "botnet": "models.classification.botnet:BoTNet",
    "lecun98": "models.classification.lecun98:LeCun98",
    "mobilenet_v1": "models.classification.mobilenet_v1:MobileNetV1",
    "mobilenet_v2": "models.classification.mobilenet_v2:MobileNetV2",
    "mobilenet_v3": "models.classification.mobilenet_v3:MobileNetV3",
    "efficientnet": "models.classification.efficientnet:EfficientNet",
    "squeezenet": "models.classification.squeezenet:SqueezeNet",
    "shufflenet_v2": "models.classification.shufflenet_v2:ShuffleNetV2",
    "convnext": "models.classification.convnext:ConvNeXt",
    "regnet": "models.classification.regnet:RegNet",
    "darknet": "models.classification.darknet:Darknet",
    "xception": "models.classification.xception:Xception",
    "mixer": "models.classification.mixer:Mixer",
    "swin": "models.classification.swin:Swin",
    # segmentation
    "unet": "models.segmentation.unet:UNet",
    "fcn": "models.segmentation.fcn:FCN",
    "fcn_dilated": "models.segmentation.fcn:DilatedFCN",
    "deeplab_v1": ("models.segmentation.deeplab:DeepLab", dict(dilations=(12,))),
    "deeplab_v2": "models.segmentation.deeplab:DeepLab",
    "deeplab_v3": "models.segmentation.deeplab:DeepLabV3",
    "deeplab_v3plus": ("models.segmentation.deeplab:DeepLabV3", dict(low="stage1", convs=2)),
    "pspnet": "models.segmentation.pspnet:PSPNet",
    # detection
    "centernet": "models.detection.centernet:CenterNet",
    # restoration
    "dncnn": "models.restoration.dncnn:DnCNN",
    # sequence
    "show_and_tell": "models.sequence.show_and_tell:ShowAndTell",
    # generative
    "vae": "models.generative.vae:VAE",
    "vae_conv": "models.generative.vae:ConvVAE",
    "gan_generator": "models.generative.gan:Generator",
    "gan_discriminator": "models.generative.gan:Discriminator",
    "dcgan_generator": "models.generative.dcgan:Generator",
    "dcgan_discriminator": "models.generative.dcgan:Discriminator",
    "ddpm_unet": "models.generative.ddpm_unet:DDPMUNet",
    "cyclegan_generator": "models.generative.cyclegan:Generator",
    "cyclegan_discriminator": "models.generative.cyclegan:Discriminator",
    "random_filters": "models.generative.random_filters:RandomFilters",
    "pixels": "models.pixels:Pixels",
    # metric
    "embedding": "models.metric.embedding:Embedding",
}
