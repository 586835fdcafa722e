"""`unet_isbi:small` without elastic deformation: what the deformation is worth.

cd FOLDER_OF_isbi2012_membrane; fovea train --config unet_isbi_small_rigid --workdir runs/unet_isbi_small_rigid
"""

from experiments.configs.segmentation import unet_isbi


def get_config():
    config = unet_isbi.get_config("small")
    config.data.augment = tuple(name for name in config.data.augment if name != "elastic")
    return config
