"""ResNet-50 on ImageNet. He et al. 2016, table 4 gives 22.85 % with ten crops; torchvision's v1.5 has 23.87 % with one.

    fovea train --config resnet50_imagenet --workdir runs/resnet50_imagenet     # 8 accelerators; not run here

The recipe of torchvision's first weights, at batch 256: 90 epochs, learning rate 0.1 divided by 10 every 30. The images
are streamed: decoding and the random-resized crop run on the host.
"""

from experiments.pages import IMAGENET, page


def get_config():
    return page(
        paper=dict(
            title="Deep Residual Learning for Image Recognition",
            year=2016,
            table="torchvision, ResNet50_Weights.IMAGENET1K_V1",
            metric="test/error",
            published=0.2387,
            tolerance=0.003,
            steps=450_450,
            parameters=25_557_032,
            macs=4_089_184_256,
        ),
        model=dict(name="resnet", depth=50, version="v1.5"),
        task=dict(name="classification"),
        data=IMAGENET,
        optimizer=dict(name="sgd", momentum=0.9, weight_decay=1e-4),
        schedule=dict(name="step", peak=0.1, boundaries=(150_150, 300_300), factor=0.1),
        train=dict(
            batch_size=256,
            steps=450_450,
            dtype="bfloat16",
            log_every=100,
            evaluate_every=5_005,
            checkpoint_every=5_005,
        ),
    )
