"""Picture and mask files as people have them: each is read right, or refused in one line that says what to do.

The right answer is computed here from the pixels that were written, or is Pillow's own where Pillow is right.
"""

import io
import itertools
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from data import open_source
from data.decode import TURNS, Decoded, load, picture_size
from data.errors import DataError
from data.preparation import Preparation

H, W = 6, 9
GREY = np.random.default_rng(0).integers(0, 256, (H, W)).astype(np.uint8)
COLOR = np.random.default_rng(1).integers(0, 256, (H, W, 3)).astype(np.uint8)
ALPHA = np.random.default_rng(2).integers(0, 256, (H, W)).astype(np.uint8)
DEEP = np.random.default_rng(3).integers(0, 65536, (H, W)).astype(np.uint16)
DEEP[0, :2] = 0, 65535
PALETTE = np.random.default_rng(4).integers(0, 256, (4, 3)).astype(np.uint8)
INDEX = np.random.default_rng(5).integers(0, 4, (H, W)).astype(np.uint8)


def luma(color):
    """ITU-R 601 in Pillow's integers."""
    return ((color.astype(np.int64) @ [19595, 38470, 7471] + 0x8000) >> 16).astype(np.uint8)


def over(color, alpha, background=255):
    """`color` over a background, as far as `alpha` in [0, 255] lets it be seen."""
    share = alpha[..., None] / 255
    return color * share + np.asarray(background) * (1 - share)


def scaled(values, white):
    return np.rint(values.astype(float) * 255 / white)


def paletted(**info):
    image = Image.fromarray(INDEX, "P")
    image.putpalette(PALETTE.tobytes())
    image.info.update(info)
    return image


def with_alpha(image):
    image.putalpha(Image.fromarray(ALPHA))
    return image


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(header, rows, *chunks):
    """The bytes of a PNG: (bit depth, colour type), rows without filters, and chunks (name, content) before them."""
    height, width = rows.shape[:2]
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    ihdr = struct.pack(">IIBBBBB", width, height, *header, 0, 0, 0)
    parts = [(b"IHDR", ihdr), *chunks, (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )


def tiff(values, bits=16, photometric=1):
    """The bytes of a little-endian TIFF of one channel; 12 bits are packed."""
    height, width = values.shape
    if bits == 12:
        pairs = np.pad(values, ((0, 0), (0, width % 2))).reshape(height, -1, 2).astype(np.uint32)
        packed = pairs[..., 0] << 12 | pairs[..., 1]
        rows = np.stack([packed >> 16, packed >> 8, packed], -1).astype(np.uint8).reshape(height, -1)
        body = rows[:, : -(-12 * width // 8)].tobytes()
    else:
        body = values.astype("<u2").tobytes()
    entry = lambda tag, kind, value: struct.pack("<HHII", tag, kind, 1, value)
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric)]
    tags += [(273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, len(body))]
    directory = struct.pack("<H", len(tags)) + b"".join(entry(*tag) for tag in tags) + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory


def pgm(values, most):
    return f"P5 {W} {H} {most}\n".encode() + values.astype(">u2").tobytes()


LAB = np.stack([np.linspace(0, 255, W).astype(np.uint8)] * H)
LAB = np.stack([LAB, 0 * LAB, 0 * LAB], -1)  # greys: a and b are 0


def lightness(lab):
    """CIE L* in [0, 255] -> sRGB in [0, 255], of a grey."""
    star = lab[..., 0].astype(float) * 100 / 255
    linear = np.where(star > 8, ((star + 16) / 116) ** 3, star / 903.3)
    return 255 * np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def hsv(color):
    return Image.fromarray(color).convert("HSV")


SEEN = PALETTE[INDEX]  # the colours of the paletted picture
GIF = encoded(paletted(), "GIF", save_all=True, append_images=[Image.fromarray(INDEX[::-1].copy(), "P")], loop=0)
FRAMES = dict(save_all=True, append_images=[Image.fromarray(255 - COLOR)])
CMYK = Image.fromarray(COLOR).convert("CMYK")
MORE = np.uint16(4095)

# name: (the file, options of the Preparation, the right image [H, W] or [H, W, 3], how far it may be off)
PICTURES = {
    "1 bit": (encoded(Image.fromarray(GREY > 127), "PNG"), {}, 255 * (GREY > 127), 0),
    "1 bit TIFF": (encoded(Image.fromarray(GREY > 127), "TIFF"), {}, 255 * (GREY > 127), 0),
    "grey": (encoded(Image.fromarray(GREY), "PNG"), {}, GREY, 0),
    "grey as RGB": (encoded(Image.fromarray(GREY), "PNG"), dict(channels=3), np.stack([GREY] * 3, -1), 0),
    "grey BMP": (encoded(Image.fromarray(GREY), "BMP"), {}, GREY, 0),
    "grey JPEG": (encoded(Image.fromarray(GREY), "JPEG", quality=100), {}, GREY, 3),
    "grey PGM": (encoded(Image.fromarray(GREY), "PPM"), {}, GREY, 0),
    "palette": (encoded(paletted(), "PNG"), dict(channels=3), SEEN, 0),
    "palette as grey": (encoded(paletted(), "PNG"), {}, luma(SEEN), 0),
    "palette GIF": (encoded(paletted(), "GIF"), dict(channels=3), SEEN, 0),
    "palette BMP": (encoded(paletted(), "BMP"), dict(channels=3), SEEN, 0),
    "palette, one transparent": (
        encoded(paletted(), "PNG", transparency=2),
        dict(channels=3),
        np.where((INDEX == 2)[..., None], 255, SEEN),
        0,
    ),
    "palette GIF, one transparent": (
        encoded(paletted(), "GIF", transparency=1),
        dict(channels=3, background=(0,)),
        np.where((INDEX == 1)[..., None], 0, SEEN),
        0,
    ),
    "palette, half transparent": (
        encoded(paletted(), "PNG", transparency=bytes([255, 128, 0, 64])),
        dict(channels=3),
        over(SEEN, np.array([255, 128, 0, 64])[INDEX]),
        1,
    ),
    "RGB": (encoded(Image.fromarray(COLOR), "PNG"), dict(channels=3), COLOR, 0),
    "RGB as grey": (encoded(Image.fromarray(COLOR), "PNG"), {}, luma(COLOR), 0),
    "RGB WebP": (encoded(Image.fromarray(COLOR), "WEBP", lossless=True), dict(channels=3), COLOR, 0),
    "RGB JPEG 2000": (encoded(Image.fromarray(COLOR), "JPEG2000"), dict(channels=3), COLOR, 0),
    "RGB, one transparent": (
        encoded(Image.fromarray(COLOR), "PNG", transparency=tuple(int(x) for x in COLOR[2, 3])),
        dict(channels=3, background=(1, 2, 3)),
        np.where((COLOR[2, 3] == COLOR).all(-1)[..., None], [1, 2, 3], COLOR),
        0,
    ),
    "grey, one transparent": (
        encoded(Image.fromarray(GREY), "PNG", transparency=int(GREY[2, 3])),
        dict(background=(9,)),
        np.where(GREY[2, 3] == GREY, 9, GREY),
        0,
    ),
    "RGBX TIFF": (
        encoded(Image.fromarray(np.dstack([COLOR, ALPHA]), "RGBX"), "TIFF"),
        dict(channels=3),
        COLOR,
        0,
    ),
    "RGBA on white": (encoded(with_alpha(Image.fromarray(COLOR)), "PNG"), dict(channels=3), over(COLOR, ALPHA), 1),
    "RGBA on black": (
        encoded(with_alpha(Image.fromarray(COLOR)), "PNG"),
        dict(channels=3, background=(0,)),
        over(COLOR, ALPHA, 0),
        1,
    ),
    "RGBA on a colour": (
        encoded(with_alpha(Image.fromarray(COLOR)), "TIFF"),
        dict(channels=3, background=(200, 0, 50)),
        over(COLOR, ALPHA, (200, 0, 50)),
        1,
    ),
    "RGBA WebP": (
        encoded(with_alpha(Image.fromarray(COLOR)), "WEBP", lossless=True, exact=True),
        dict(channels=3),
        over(COLOR, ALPHA),
        1,
    ),
    "RGBA as RGBA": (
        encoded(with_alpha(Image.fromarray(COLOR)), "PNG"),
        dict(channels=4),
        np.dstack([COLOR, ALPHA]),
        0,
    ),
    "hidden colours": (
        encoded(Image.fromarray(np.dstack([COLOR, np.zeros_like(GREY)])), "PNG"),
        dict(channels=3),
        np.full_like(COLOR, 255),
        0,
    ),
    "LA": (encoded(with_alpha(Image.fromarray(GREY)), "PNG"), {}, over(GREY[..., None], ALPHA)[..., 0], 1),
    "PA TIFF": (
        encoded(with_alpha(paletted()), "TIFF"),
        dict(channels=3),
        over(SEEN, ALPHA),
        1,
    ),
    "CMYK TIFF": (encoded(CMYK, "TIFF"), dict(channels=3), COLOR, 1),
    "CMYK JPEG": (encoded(CMYK, "JPEG", quality=100, subsampling=0), dict(channels=3), COLOR, 4),
    "YCbCr TIFF": (encoded(Image.fromarray(COLOR).convert("YCbCr"), "TIFF"), dict(channels=3), COLOR, 3),
    "LAB TIFF": (encoded(Image.fromarray(LAB, "LAB"), "TIFF"), {}, lightness(LAB), 2),
    "16 bits PNG": (encoded(Image.fromarray(DEEP), "PNG"), {}, scaled(DEEP, 65535), 0),
    "16 bits as RGB": (
        encoded(Image.fromarray(DEEP), "PNG"),
        dict(channels=3),
        np.stack([scaled(DEEP, 65535)] * 3, -1),
        0,
    ),
    "16 bits TIFF": (encoded(Image.fromarray(DEEP), "TIFF"), {}, scaled(DEEP, 65535), 0),
    "16 bits TIFF, compressed": (
        encoded(Image.fromarray(DEEP), "TIFF", compression="tiff_lzw"),
        {},
        scaled(DEEP, 65535),
        0,
    ),
    "16 bits TIFF, big endian": (
        encoded(Image.frombytes("I;16B", (W, H), DEEP.astype(">u2").tobytes()), "TIFF"),
        {},
        scaled(DEEP, 65535),
        0,
    ),
    "16 bits TIFF, white is zero": (tiff(DEEP, photometric=0), {}, 255 - scaled(DEEP, 65535), 0),
    "16 bits JPEG 2000": (encoded(Image.fromarray(DEEP), "JPEG2000"), {}, scaled(DEEP, 65535), 0),
    "16 bits PGM": (pgm(DEEP, 65535), {}, scaled(DEEP, 65535), 0),
    "12 bits PGM": (pgm(DEEP % 4096, 4095), {}, scaled(DEEP % 4096, 4095), 1),
    "12 bits TIFF": (tiff(DEEP % 4096, bits=12), {}, scaled(DEEP % 4096, 4095), 0),
    "12 bits in 16, stated": (
        encoded(Image.fromarray(DEEP % 4096), "PNG"),
        dict(white=4095),
        scaled(DEEP % 4096, 4095),
        0,
    ),
    "12 bits in 16, as they are": (
        encoded(Image.fromarray(DEEP % 4096), "PNG"),
        dict(white=65535),
        scaled(DEEP % 4096, 65535),
        0,
    ),
    "16 bits, all black": (encoded(Image.fromarray(0 * DEEP), "PNG"), {}, 0 * DEEP, 0),
    "16 bits, one transparent": (
        png((16, 0), DEEP.astype(">u2"), (b"tRNS", struct.pack(">H", DEEP[3, 3]))),
        {},
        np.where(DEEP[3, 3] == DEEP, 255, scaled(DEEP, 65535)),
        0,
    ),
    "16 bits RGB": (
        png((16, 2), (COLOR.astype(np.uint16) * 257).astype(">u2")),
        dict(channels=3),
        COLOR,
        0,
    ),
    "32-bit integers, stated": (
        encoded(Image.fromarray((DEEP % 1001).astype(np.int32)), "TIFF"),
        dict(white=1000),
        scaled(DEEP % 1001, 1000),
        0,
    ),
    "floats, stated": (
        encoded(Image.fromarray((DEEP / 65535).astype(np.float32)), "TIFF"),
        dict(white=1.0),
        scaled(DEEP, 65535),
        0,
    ),
    "animated GIF": (GIF, dict(channels=3), SEEN, 0),
    "animated PNG": (encoded(Image.fromarray(COLOR), "PNG", **FRAMES), dict(channels=3), COLOR, 0),
    "animated WebP": (encoded(Image.fromarray(COLOR), "WEBP", lossless=True, **FRAMES), dict(channels=3), COLOR, 0),
    "TIFF with a preview": (
        encoded(Image.fromarray(COLOR), "TIFF", save_all=True, append_images=[Image.new("RGB", (3, 2))]),
        dict(channels=3),
        COLOR,
        0,
    ),
    "broken EXIF": (encoded(Image.fromarray(COLOR), "PNG", exif=b"Exif\0\0nonsense"), dict(channels=3), COLOR, 0),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_read_right(name, tmp_path):
    content, options, right, tolerance = PICTURES[name]
    file = tmp_path / "x.png"  # the suffix does not matter
    file.write_bytes(content)
    found, placement = Preparation(**{"channels": 1, **options}).read(file)
    right = np.asarray(right).reshape(found.shape)
    assert found.dtype == np.uint8 and np.abs(found.astype(float) - right).max() <= tolerance
    assert picture_size(file) == placement.canvas == (H, W)


# Modes that no format of Pillow's writes, but which other plug-ins may open.
MADE = {
    "HSV": (hsv(COLOR), np.asarray(hsv(COLOR).convert("RGB"))),
    "La": (with_alpha(Image.fromarray(GREY)).convert("La"), over(np.stack([GREY] * 3, -1), ALPHA)),
    "RGBa": (with_alpha(Image.fromarray(COLOR)).convert("RGBa"), over(COLOR, ALPHA)),
    "I;16L": (
        Image.frombytes("I;16L", (W, H), DEEP.astype("<u2").tobytes()),
        np.stack([scaled(DEEP, 65535)] * 3, -1),
    ),
}


@pytest.mark.parametrize("mode", MADE)
def test_a_mode_that_no_format_here_writes(mode, monkeypatch):
    image, right = MADE[mode]
    assert image.mode == mode
    monkeypatch.setattr("data.preparation.load", lambda *_: Decoded(image, "MADE", "", False, False))
    found, _ = Preparation(3).read("x")
    assert np.abs(found - right.astype(float)).max() <= 2


NAN = np.where(GREY[1, 1] == GREY, np.nan, 0.5).astype(np.float32)

# name: (the file, options, what the line says)
REFUSED = {
    "12 bits in 16": (
        encoded(Image.fromarray(DEEP % 4096), "PNG"),
        {},
        rf"has 16 bits, but its largest value is {(DEEP % 4096).max()}: set data.white=4095 if .*data.white=65535",
    ),
    "8 bits in 16": (encoded(Image.fromarray(GREY.astype(np.uint16)), "TIFF"), {}, "data.white=255 if that is white"),
    "10 bits in 16": (encoded(Image.fromarray(DEEP % 1024), "TIFF"), {}, "data.white=1023 if that is white"),
    "16 bits above white": (
        encoded(Image.fromarray(DEEP), "PNG"),
        dict(white=4095),
        "16 bits from 0 to 65535, outside of 0 to data.white=4095",
    ),
    "12 bits of 16 in colour": (
        png((16, 2), (COLOR.astype(np.uint16) * 16).astype(">u2")),
        dict(channels=3),
        "has colours of 16 bits; only the upper 8 bits are read, and they are 15 at most",
    ),
    "16 bits in colour, another white": (
        png((16, 2), (COLOR.astype(np.uint16) * 257).astype(">u2")),
        dict(channels=3, white=4095),
        "save it with 8 bits$",
    ),
    "32-bit integers": (
        encoded(Image.fromarray(DEEP.astype(np.int32)), "TIFF"),
        {},
        "holds 32-bit integers from 0 to 65535: set data.white .*data.white=65535",
    ),
    "negative": (
        encoded(Image.fromarray(DEEP.astype(np.int32) - 7), "TIFF"),
        dict(white=65535),
        "32-bit integers from -7 to 65528, outside of 0 to data.white=65535",
    ),
    "floats": (
        encoded(Image.fromarray((DEEP / 65535).astype(np.float32)), "TIFF"),
        {},
        r"holds floats from 0 to 1: set data.white .*data.white=1.0",
    ),
    "floats above white": (
        encoded(Image.fromarray((DEEP / 255).astype(np.float32)), "TIFF"),
        dict(white=1),
        "floats from 0 to 257, outside of 0 to data.white=1",
    ),
    "not a number": (encoded(Image.fromarray(NAN), "TIFF"), dict(white=1), "values that are not finite"),
    "infinite": (encoded(Image.fromarray(1 / (NAN - 0.5)), "TIFF"), dict(white=1), "values that are not finite"),
    "a stack": (
        encoded(Image.fromarray(GREY), "TIFF", save_all=True, append_images=[Image.fromarray(GREY)] * 2),
        {},
        "is a stack of 3 pages: save each page as a file",
    ),
    "empty": (b"", {}, "cannot read image .*x.png: "),
    "text": (b"file,label\na.png,cat\n", {}, "cannot read image .*x.png: Pillow does not find a picture in it"),
    "an error page": (b"<html>404</html>", {}, "cannot read image .*x.png"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", {}, "cannot read image .*x.png"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_picture_is_refused_in_one_line(name, tmp_path):
    content, options, line = REFUSED[name]
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DataError, match=line) as error:
        Preparation(**{"channels": 1, **options}).read(tmp_path / "x.png")
    assert "\n" not in str(error.value) and "x.png" in str(error.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM", "JPEG2000"])
def test_a_truncated_file_is_named(kind, tmp_path):
    content = encoded(Image.fromarray(COLOR), kind)
    for share in (0.05, 0.3, 0.6, 0.8):
        (tmp_path / "x.png").write_bytes(content[: int(share * len(content))])
        with pytest.raises(DataError, match=r"cannot read image .*x.png: ."):
            Preparation(3).read(tmp_path / "x.png")


def test_a_decompression_bomb_is_refused_unread(tmp_path, monkeypatch):
    Image.fromarray(GREY).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    for read in (Preparation(1).read, picture_size):
        with pytest.raises(DataError, match=r"cannot read image .*x.png: .*bomb"):
            read(tmp_path / "x.png")


# What the camera stored so that its picture is upright once the orientation is carried out.
STORED = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: lambda x: np.rot90(x, -1),
}
ORIENTED = list(itertools.product(STORED, ("PNG", "TIFF", "WEBP", "JPEG")))


def oriented(pixels, orientation, kind, **options):
    tags = Image.Exif()
    tags[0x0112] = orientation
    options |= {"WEBP": dict(lossless=True), "JPEG": dict(quality=100, subsampling=0)}.get(kind, {})
    return encoded(Image.fromarray(np.ascontiguousarray(STORED[orientation](pixels))), kind, exif=tags, **options)


@pytest.mark.parametrize(("orientation", "kind"), ORIENTED)
def test_a_picture_is_upright(orientation, kind, tmp_path):
    file = tmp_path / "x"
    file.write_bytes(oriented(COLOR, orientation, kind))
    found, placement = Preparation(3).read(file)
    assert found.shape == COLOR.shape and np.abs(found - COLOR.astype(int)).max() <= (6 if kind == "JPEG" else 0)
    assert picture_size(file) == placement.canvas == (H, W)
    assert set(TURNS) == set(STORED) - {1}


def test_an_orientation_behind_the_pixels_counts(tmp_path):
    """The standard allows the chunk at the end of a PNG."""
    pixels = np.ascontiguousarray(STORED[6](GREY))
    whole = png((8, 0), pixels, (b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"))
    start = whole.index(b"eXIf") - 4
    chunk, end = whole[start : start + 12 + 26], len(whole) - 12
    (tmp_path / "x.png").write_bytes(whole[:start] + whole[start + len(chunk) : end] + chunk + whole[end:])
    found, _ = Preparation(1).read(tmp_path / "x.png")
    np.testing.assert_array_equal(found[..., 0], GREY)
    assert picture_size(tmp_path / "x.png") == (H, W)


@pytest.mark.parametrize(
    "options", [dict(white=-1.0), dict(background=(1, 2)), dict(background=(300,)), dict(channels=2)]
)
def test_an_unsuitable_key_is_refused(options):
    with pytest.raises(DataError, match=rf"data.{next(iter(options))}"):
        Preparation(**{"channels": 3, **options})


# The sources.


def test_boxes_lie_on_the_upright_picture(tmp_path):
    (tmp_path / "x.jpg").write_bytes(oriented(COLOR, 6, "JPEG"))
    (tmp_path / "boxes.csv").write_text(f"file,x1,y1,x2,y2,label\nx.jpg,0,0,{W},{H},cat\n")
    source = open_source(f"boxes:{tmp_path / 'boxes.csv'}", "train", image_size=(2 * H, 2 * W))
    batch = source.fetch(np.arange(1))
    np.testing.assert_array_equal(batch["boxes"][0, 0], [0, 0, 2 * W, 2 * H])
    assert source.truth([0])[0]["size"] == (H, W)


@pytest.mark.parametrize("kind", ["folder", "unpaired", "boxes", "captions", "image", "pairs"])
def test_every_source_of_files_has_the_same_keys(kind, tmp_path):
    """A float picture beside an oriented, transparent one."""
    content = PICTURES["floats, stated"][0], oriented(np.dstack([COLOR, ALPHA]), 8, "PNG")
    for folder, suffix in (("A", "tif"), ("B", "png"), ("images", "png"), ("masks", "png")):
        (tmp_path / folder).mkdir()
        picture = content[suffix == "png"] if folder != "masks" else encoded(Image.fromarray(INDEX), "PNG")
        (tmp_path / folder / f"x.{suffix}").write_bytes(picture)
    (tmp_path / "boxes.csv").write_text("file,x1,y1,x2,y2,label\nA/x.tif,0,0,1,1,cat\nB/x.png,0,0,1,1,cat\n")
    (tmp_path / "captions.csv").write_text("file,caption\nA/x.tif,a cat\nB/x.png,a cat\n")
    if kind == "folder":
        for name in ("images", "masks"):
            (tmp_path / name / "x.png").unlink()
            (tmp_path / name).rmdir()
    where = {"boxes": "boxes.csv", "captions": "captions.csv", "image": "B/x.png"}.get(kind, "")
    source = open_source(f"{kind}:{tmp_path / where}", "train", white=1.0, background=(0,))
    images = [part.read_all()[name] for part, name in ((source, "image"), *((x, n) for n, x in source.groups.items()))]
    found = {image.tobytes() for image in np.concatenate(images)}
    right = [np.stack([scaled(DEEP, 65535)] * 3, -1).astype(np.uint8)] if kind not in ("image", "pairs") else []
    right.append(Preparation(3, background=(0,)).read(io.BytesIO(content[1]))[0])
    assert right[-1].shape == (H, W, 3) and np.abs(right[-1] - over(COLOR, ALPHA, 0)).max() <= 1
    assert found == {image.tobytes() for image in right}


def test_what_is_not_corrupt_is_not_left_out(tmp_path):
    """`skip_corrupt` is for damaged files, not for those that need a key of the page."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(REFUSED["12 bits in 16"][0])
    with pytest.raises(DataError, match=r"data\.white=4095"):
        open_source(f"folder:{tmp_path}", "train", skip_corrupt=True)


# Masks.

CLASSES = INDEX  # 0 to 3
TWO = (INDEX > 1).astype(np.uint8)
COLORS = ((0, 0, 0), (255, 0, 0), "#00ff00", "blue")
RGB_TABLE = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)
RGB = RGB_TABLE[CLASSES]
PAIRED = dict(mean=(0.5,) * 3, std=(1.0,) * 3)
INSTANCES = (DEEP % 400).astype(np.uint16)
INSTANCES[0, 0] = 399


def masks_of(tmp_path, content, suffix="png", **options):
    for folder, bytes_ in (("images", encoded(Image.fromarray(COLOR), "PNG")), ("masks", content)):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"x.{'png' if folder == 'images' else suffix}").write_bytes(bytes_)
    source = open_source(f"pairs:{tmp_path}", "train", **PAIRED, **options)
    return source.fetch(np.arange(1))["masks"][0], source.info.classes


# name: (the file, options, the right classes, how many there are)
MASKS = {
    "grey": (encoded(Image.fromarray(CLASSES), "PNG"), {}, CLASSES, 4),
    "palette": (encoded(paletted(), "PNG"), {}, CLASSES, 4),
    "palette with transparency": (encoded(paletted(), "PNG", transparency=0), {}, CLASSES, 4),
    "palette GIF": (encoded(paletted(), "GIF"), {}, CLASSES, 4),
    "palette TIFF": (encoded(paletted(), "TIFF"), {}, CLASSES, 4),
    "grey as RGB": (encoded(Image.fromarray(np.stack([CLASSES] * 3, -1)), "PNG"), {}, CLASSES, 4),
    "opaque LA": (encoded(Image.fromarray(CLASSES).convert("LA"), "PNG"), {}, CLASSES, 4),
    "opaque RGBA": (encoded(Image.fromarray(np.stack([CLASSES] * 3, -1)).convert("RGBA"), "PNG"), {}, CLASSES, 4),
    "1 bit": (encoded(Image.fromarray(TWO > 0), "PNG"), {}, TWO, 2),
    "0 and 1": (encoded(Image.fromarray(TWO), "PNG"), {}, TWO, 2),
    "0 and 255": (encoded(Image.fromarray(255 * TWO), "PNG"), {}, TWO, 2),
    "0 and 255 GIF": (encoded(Image.fromarray(255 * TWO), "GIF"), {}, TWO, 2),
    "0 and 255, void": (
        encoded(Image.fromarray(np.where(CLASSES == 3, 7, 255 * TWO).astype(np.uint8)), "PNG"),
        dict(void=7),
        np.where(CLASSES == 3, -1, TWO.astype(int)),
        2,
    ),
    "0 and 65535": (encoded(Image.fromarray(np.uint16(65535) * TWO), "PNG"), {}, TWO, 2),
    "JPEG with a threshold": (
        encoded(Image.fromarray(255 * np.kron(TWO, np.ones((1, 1), np.uint8))), "JPEG", quality=95),
        dict(threshold=128),
        TWO,
        2,
    ),
    "void 255": (
        encoded(Image.fromarray(np.where(CLASSES == 3, 255, CLASSES).astype(np.uint8)), "PNG"),
        dict(void=255),
        np.where(CLASSES == 3, -1, CLASSES.astype(int)),
        3,
    ),
    "16 bits": (encoded(Image.fromarray(INSTANCES), "PNG"), {}, INSTANCES, 400),
    "16 bits TIFF": (encoded(Image.fromarray(INSTANCES), "TIFF"), {}, INSTANCES, 400),
    "16 bits, void 65535": (
        encoded(Image.fromarray(np.where(CLASSES == 3, 65535, INSTANCES).astype(np.uint16)), "PNG"),
        dict(void=65535, classes=tuple(map(str, range(400)))),
        np.where(CLASSES == 3, -1, INSTANCES.astype(int)),
        400,
    ),
    "32-bit integers": (encoded(Image.fromarray(INSTANCES.astype(np.int32)), "TIFF"), {}, INSTANCES, 400),
    "floats": (encoded(Image.fromarray(CLASSES.astype(np.float32)), "TIFF"), {}, CLASSES, 4),
    "colours": (encoded(Image.fromarray(RGB), "PNG"), dict(colors=COLORS), CLASSES, 4),
    "colours, opaque": (encoded(Image.fromarray(RGB).convert("RGBA"), "PNG"), dict(colors=COLORS), CLASSES, 4),
    "colours of a palette": (
        encoded(Image.fromarray(RGB).convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
        dict(colors=COLORS),
        CLASSES,
        4,
    ),
    "colours, the last void": (
        encoded(Image.fromarray(RGB), "PNG"),
        dict(colors=COLORS, void=3),
        np.where(CLASSES == 3, -1, CLASSES.astype(int)),
        3,
    ),
    "upright": (oriented(CLASSES, 6, "PNG"), {}, CLASSES, 4),
}


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_is_read_right(name, tmp_path, recwarn):
    content, options, right, count = MASKS[name]
    found, classes = masks_of(tmp_path, content, **options)
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, right)
    assert len(classes) == count


def test_palettes_that_differ_are_refused_and_colours_read_them(tmp_path):
    """A program that orders each palette anew gives one class another index in every file."""
    turned = Image.fromarray((3 - CLASSES).astype(np.uint8), "P")
    turned.putpalette(RGB_TABLE[::-1].tobytes())
    same = Image.fromarray(CLASSES, "P")
    same.putpalette(RGB_TABLE.tobytes())
    for name, mask in (("a", same), ("b", turned)):
        for folder, image in (("images", Image.fromarray(COLOR)), ("masks", mask)):
            (tmp_path / folder).mkdir(exist_ok=True)
            image.save(tmp_path / folder / f"{name}.png")
    with pytest.raises(DataError, match=r"palettes of masks differ: 0 is the colour \(0, 0, 0\) in .*a.png and"):
        open_source(f"pairs:{tmp_path}", "train")
    masks = open_source(f"pairs:{tmp_path}", "train", colors=COLORS).fetch(np.arange(2))["masks"]
    np.testing.assert_array_equal(masks, [CLASSES, CLASSES])


def test_two_values_are_two_classes_and_it_is_said(tmp_path):
    with pytest.warns(UserWarning, match="hold 0 and 128 alone: 128 is class 1"):
        found, classes = masks_of(tmp_path, encoded(Image.fromarray(128 * TWO), "PNG"))
    np.testing.assert_array_equal(found, TWO)
    assert len(classes) == 2


@pytest.mark.parametrize("high", [60, 128, 200, 255])
def test_the_threshold_that_a_refused_jpeg_names_is_the_right_one(tmp_path, high):
    file = encoded(Image.fromarray(BLOTS // 255 * np.uint8(high)), "JPEG", quality=90)
    with pytest.raises(DataError) as error:
        masks_of(tmp_path, file)
    threshold = int(re.search(r"data.threshold=(\d+)", str(error.value))[1])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file))) >= threshold, BLOTS > 0)


BLOTS = 255 * np.kron(np.random.default_rng(0).integers(0, 2, (8, 8)), np.ones((13, 13))).astype(np.uint8)
LOSSY = encoded(Image.fromarray(BLOTS), "JPEG", quality=70)
SMEARED = np.asarray(Image.open(io.BytesIO(LOSSY)))

# name: (the file, options, what the line says)
NOT_MASKS = {
    "JPEG": (LOSSY, {}, "x.png is a JPEG, which changes the values of classes: .*data.threshold=128"),
    "JPEG of 0 and 128": (
        encoded(Image.fromarray(BLOTS // 2), "JPEG"),
        dict(classes=("a", "b")),
        r"is a JPEG, .*data.threshold=(6[0-9]|7[0-5]), the middle of their two values",
    ),
    "JPEG of 0 and 1": (
        encoded(Image.fromarray(BLOTS // 255), "JPEG"),
        dict(classes=("a", "b")),
        "is a JPEG, .*by data.threshold, the middle of their two values",
    ),
    "three values and two classes": (
        encoded(Image.fromarray(CLASSES), "PNG"),
        dict(classes=("a", "b")),
        "holds the value 2, but there are 2 classes$",
    ),
    "saved again as PNG": (
        encoded(Image.fromarray(SMEARED), "PNG"),
        {},
        "about 0 and 255, .*data.threshold=128",
    ),
    "half as bright": (
        encoded(Image.fromarray(SMEARED // 2), "PNG"),
        {},
        "about 0 and 12., .*data.threshold=6",
    ),
    "resized": (
        encoded(Image.fromarray(BLOTS).resize((100, 90), Image.Resampling.BILINEAR), "PNG"),
        dict(classes=("a", "b")),
        "holds the value .*, but there are 2 classes; data.threshold=128",
    ),
    "255 without void": (
        encoded(Image.fromarray(np.where(CLASSES == 3, 255, CLASSES).astype(np.uint8)), "PNG"),
        {},
        "reach up to 255: if that means no label, set data.void=255",
    ),
    "1 and 255 of two classes": (
        encoded(Image.fromarray(np.where(CLASSES == 3, 255, TWO).astype(np.uint8)), "PNG"),
        dict(classes=("a", "b")),
        "holds 1 and 255: if 255 means no label, set data.void=255",
    ),
    "65535 without void": (
        encoded(Image.fromarray(np.where(CLASSES == 3, 65535, CLASSES.astype(int)).astype(np.uint16)), "PNG"),
        {},
        "reach up to 65535: if that means no label, set data.void=65535",
    ),
    "too many classes": (encoded(Image.fromarray(DEEP // 2 + 30_000), "PNG"), {}, "classes: masks may have 32768"),
    "negative": (encoded(Image.fromarray(CLASSES - np.int32(1)), "TIFF"), {}, "holds values from -1 to 2"),
    "not whole": (encoded(Image.fromarray(CLASSES / np.float32(2)), "TIFF"), {}, "holds numbers that are not whole"),
    "colours": (encoded(Image.fromarray(RGB), "PNG"), {}, "has colours: data.colors is the table of them"),
    "another colour": (
        encoded(Image.fromarray(RGB), "PNG"),
        dict(colors=COLORS[:3]),
        r"has the colour \(0, 0, 255\) at x={1}, y={0}, which".format(*np.argwhere(CLASSES == 3)[0]),
    ),
    "transparent": (
        encoded(with_alpha(Image.fromarray(RGB)), "PNG"),
        dict(colors=COLORS),
        "is transparent at x=0, y=0: a transparent pixel has no class",
    ),
    "CMYK": (encoded(CMYK, "TIFF"), {}, "is CMYK: one channel, a palette or RGB is needed"),
    "animated": (GIF, {}, "is animated: save one frame"),
    "on its side": (
        encoded(Image.fromarray(np.rot90(CLASSES).copy()), "PNG"),
        {},
        r"x.png is 6×9 pixels and its mask .*x.png is 9×6$",
    ),
    "too few values": (encoded(Image.fromarray(0 * CLASSES + 1), "PNG"), dict(colors=("red", "red")), "'red' twice"),
    "not a colour": (
        encoded(Image.fromarray(RGB), "PNG"),
        dict(colors=("redd",)),
        "data.colors: 'redd' is not a colour",
    ),
    "threshold of colours": (
        encoded(Image.fromarray(RGB), "PNG"),
        dict(colors=COLORS, threshold=128),
        "data.threshold=128 makes two classes of grey values",
    ),
}


@pytest.mark.parametrize("name", NOT_MASKS)
def test_a_mask_is_refused_in_one_line(name, tmp_path):
    content, options, line = NOT_MASKS[name]
    with pytest.raises(DataError, match=line) as error:
        masks_of(tmp_path, content, **options)
    assert "\n" not in str(error.value)


def test_an_image_on_its_side_is_named_where_its_mask_is_not_turned(tmp_path):
    for folder, content in (
        ("images", oriented(COLOR, 6, "JPEG")),
        ("masks", encoded(Image.fromarray(np.rot90(CLASSES).copy()), "PNG")),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes(content)
    with pytest.raises(DataError, match="the image lies on its side by its EXIF orientation, the mask does not"):
        open_source(f"pairs:{tmp_path}", "train")


# Names.


def pairs_named(tmp_path, names, others, **options):
    for folder, files, pixels in (("images", names, COLOR), ("masks", others, CLASSES)):
        where = tmp_path / options.get(folder, folder)
        where.mkdir(exist_ok=True)
        for name in files:
            Image.fromarray(pixels).save(where / name)
    source = open_source(f"pairs:{tmp_path}", "train", **PAIRED, **options)
    return [(image.name, mask.name) for image, mask in source.pairs]


@pytest.mark.parametrize(
    ("images", "masks", "options"),
    [
        (["a.jpg", "b.jpg"], ["a.png", "b.png"], {}),
        (["a.jpg", "b.jpg"], ["a_mask.gif", "b_mask.gif"], dict(match="{name}_mask")),
        (["a.jpg", "a_mask.jpg"], ["a_mask.gif", "a_mask_mask.gif"], dict(match="{name}_mask")),
        (["a.jpg", "b.jpg"], ["seg.a.png", "seg.b.png"], dict(match="seg.{name}")),
        (["2_x.jpg", "10_x.jpg"], ["2_manual1.gif", "10_manual1.gif"], dict(match="number")),
        (["a.png", "b.png"], ["a_mask.png", "b_mask.png"], dict(match="{name}_mask", images=".", masks=".")),
        (["a (1).png", "b+.png"], ["m_a (1).png", "m_b+.png"], dict(match="m_{name}", images=".", masks=".")),
    ],
)
def test_names_are_paired(tmp_path, images, masks, options):
    assert pairs_named(tmp_path, images, masks, **options) == list(zip(images, masks, strict=True))


@pytest.mark.parametrize(
    ("images", "masks", "options", "line"),
    [
        (["a.jpg", "b.jpg"], ["a_mask.gif", "b_mask.gif"], {}, r"data.match='\{name\}_mask' pairs all of them"),
        (["img_1.png", "img_2.png"], ["gt_1.png", "gt_2.png"], {}, "data.match='number' pairs all of them"),
        (["a.jpg", "b.jpg"], ["a.png", "b.png"], dict(match="{name}_m"), "data.match='name' pairs all of them"),
        (
            ["a.png", "b.png"],
            ["a_mask.png", "b_mask.png"],
            dict(images=".", masks="."),
            r"are both in .*data.match has to be a pattern .*: data.match='\{name\}_mask' pairs all",
        ),
        (["a.jpg", "b.jpg"], ["a_mask.gif", "c_mask.gif"], dict(match="{name}_mask"), "b.jpg has no counterpart"),
        (["a.jpg"], ["a_mask.gif", "a_edge.gif"], dict(match="{name}_mask"), r"a_edge.gif is not '\{name\}_mask'$"),
        (["a.jpg"], ["a.png"], dict(match="{nam}"), "data.match='{nam}' is unknown"),
    ],
)
def test_names_that_do_not_fit_are_refused_with_the_near_miss(tmp_path, images, masks, options, line):
    with pytest.raises(DataError, match=line) as error:
        pairs_named(tmp_path, images, masks, **options)
    assert "\n" not in str(error.value)


def test_what_is_loaded_says_how_it_lies_in_the_file(tmp_path):
    (tmp_path / "x.tif").write_bytes(PICTURES["12 bits TIFF"][0])
    found = load(tmp_path / "x.tif")
    assert (found.format, found.raw, found.image.mode) == ("TIFF", "I;12", "I;16")
