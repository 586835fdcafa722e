"""`unet_camvid` with an eighth of the width and as many steps as minutes on two cores allow.

cd where/camvid_small/lies; fovea train --config unet_camvid_small --workdir runs/unet_camvid_small
"""

from experiments.configs.segmentation import unet_camvid


def get_config():
    config = unet_camvid.get_config()
    config.model.width = 8
    config.data.augment = ("flip",)
    config.schedule.peak = 5e-3
    config.train.update(dict(steps=1500, batch_size=4, evaluate_every=500, checkpoint_every=500))
    return config
