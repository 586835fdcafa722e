"""A CycleGAN trains on two unpaired folders of pictures and answers a picture of one of them."""

import numpy as np
from PIL import Image

TINY = {
    **{
        f"model.{name}.{key}": value
        for name in ("to_other", "to_image")
        for key, value in (("width", 2), ("blocks", 1))
    },
    **{f"model.discriminator_{name}.{key}": 1 for name in ("other", "image") for key in ("layers", "width")},
    "task.history": 10,
    "train.evaluate_batch_size": 8,
    "train.batch_size": 8,
    "train.steps": 2,
    "train.log_every": 1,
    "train.evaluate_every": 2,
    "train.checkpoint_every": 2,
}


def test_two_folders_are_trained_on_and_a_picture_is_answered(fovea, tmp_path):
    """On all devices, as replicas; the folders hold different numbers of pictures."""
    random = np.random.RandomState(0)
    for folder, count in (("trainA", 5), ("trainB", 9), ("testA", 2), ("testB", 3)):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for i in range(count):
            pixels = random.randint(0, 256, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / folder / f"{i}.png")
    data = {
        "data.name": f"unpaired:{tmp_path / 'photos'}",
        "data.a": "{split}A",
        "data.b": "{split}B",
        "devices.kind": "pmap",
    }
    page = ("--config", "cyclegan_tinted_digits", "--workdir", tmp_path / "run")
    result = fovea("train", *page, **data, **TINY)
    assert result.code == 0, result.error
    assert "test/cycle" in result.out
    picture = tmp_path / "photos" / "testA" / "0.png"
    result = fovea("predict", "--workdir", tmp_path / "run", picture, "--out", tmp_path / "out")
    assert result.code == 0, result.error
    drawn = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert drawn == ["0_A_to_B.png", "0_A_to_B_to_A.png"]
    made = np.asarray(Image.open(tmp_path / "out" / drawn[0]))
    assert made.shape == (8, 8, 3) and 60 < made.mean() < 195  # near the grey that such a network starts with
