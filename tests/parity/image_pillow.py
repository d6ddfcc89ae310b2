"""Writes images of many kinds and what Pillow makes of them: image_pillow.py OUT [REAL_DATA].

Each NAME.ext gets a NAME.ext.rgb: int32 height, width, channels, then bytes. NAME.ext.tolerance may hold the largest allowed
difference (default 0). With REAL_DATA, OUT/real.txt lists real files whose expectation lies in OUT/real-N.rgb.
"""
import glob
import io
import os
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps

out = sys.argv[1]
rng = np.random.default_rng(7)
y, x = np.mgrid[0:41, 0:60]
smooth = np.stack([x * 4, y * 6, (x + y) * 2], -1).astype(np.uint8)
noise = rng.integers(0, 256, (41, 60, 3), dtype=np.uint8)
rgb = Image.fromarray(np.where((x // 10 % 2 == 0)[..., None], smooth, noise))


def expect(name, array, tolerance=0):
    array = np.ascontiguousarray(array, dtype=np.uint8)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, -1)
    with open(f"{out}/{name}.rgb", "wb") as f:
        f.write(struct.pack("<3i", *array.shape) + array.tobytes())
    if tolerance:
        open(f"{out}/{name}.tolerance", "w").write(str(tolerance))


def save(name, image, tolerance=0, **options):
    image.save(f"{out}/{name}", **options)
    with Image.open(f"{out}/{name}") as again:
        expect(name, np.asarray(ImageOps.exif_transpose(again).convert("RGB")), tolerance)


def png16(array):
    """A 16-bit PNG, which Pillow cannot write in colour."""
    height, width = array.shape[:2]
    kind = {1: 0, 3: 2, 4: 6}[1 if array.ndim == 2 else array.shape[2]]
    rows = array.astype(">u2").reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    header = struct.pack(">2I5B", width, height, 16, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


save("plain.jpg", rgb, quality=90)
save("full.jpg", rgb, quality=95, subsampling=0)
save("progressive.jpg", rgb, progressive=True)
save("grey.jpg", rgb.convert("L"))
save("cmyk_adobe.jpg", rgb.convert("CMYK"))
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(f"turned{orientation}.jpg", rgb, exif=exif)
    save(f"turned{orientation}.png", rgb, exif=exif)
    save(f"turned{orientation}.tif", rgb, tiffinfo={0x0112: orientation})
save("rgb.png", rgb)
save("grey.png", rgb.convert("L"))
save("bits.png", rgb.convert("1"))
save("palette.png", rgb.quantize(50))
alpha = rgb.copy()
alpha.putalpha(Image.fromarray((x * 4).astype(np.uint8)))
save("alpha.png", alpha)
save("grey_alpha.png", alpha.convert("LA"))
save("transparent_palette.png", rgb.quantize(50), transparency=3)
deep = rng.integers(0, 65536, (41, 60, 3)).astype(np.uint16)
for name, array in (("deep.png", deep), ("deep_grey.png", deep[..., 0])):
    open(f"{out}/{name}", "wb").write(png16(array))
    expect(name, np.rint(array / 257.0))
Image.fromarray(deep[..., 0]).save(f"{out}/deep_grey.tif")
expect("deep_grey.tif", np.rint(deep[..., 0] / 257.0))
save("rgb.tif", rgb)
save("lzw.tif", rgb, compression="tiff_lzw")
save("grey.tif", rgb.convert("L"))
save("palette.tif", rgb.quantize(50), compression="tiff_deflate")
save("bits.tif", rgb.convert("1"), compression="group4")
save("cmyk.tif", rgb.convert("CMYK"))
save("alpha.tif", alpha)
save("misnamed.png.jpg", rgb, format="PNG")

# What must be refused.
whole = {name: open(f"{out}/{name}", "rb").read() for name in ("plain.jpg", "progressive.jpg", "rgb.png", "rgb.tif", "lzw.tif")}
os.mkdir(f"{out}/bad")
for name, data in whole.items():
    for percent in (30, 60, 95):
        open(f"{out}/bad/cut{percent}_{name}", "wb").write(data[: len(data) * percent // 100])
open(f"{out}/bad/no_end.jpg", "wb").write(whole["plain.jpg"][:-2])
flipped = bytearray(whole["rgb.png"])
flipped[len(flipped) // 2] ^= 4
open(f"{out}/bad/flipped.png", "wb").write(flipped)
zeros = bytearray(whole["plain.jpg"])
zeros[len(zeros) // 2 : len(zeros) // 2 + 200] = b"\xff\xd9" * 100
open(f"{out}/bad/overwritten.jpg", "wb").write(zeros)
open(f"{out}/bad/empty.jpg", "wb").close()
open(f"{out}/bad/text.jpg", "w").write("<html>404 not found</html>")
rgb.save(f"{out}/bad/other.gif")
open(f"{out}/bad/header_only.jpg", "wb").write(whole["plain.jpg"][:30])

if len(sys.argv) > 2:
    data = sys.argv[2]
    real = sorted(glob.glob(f"{data}/planet/train/*.jpg")) + sorted(glob.glob(f"{data}/lion/val/*/*.png"))[:40]
    real += sorted(glob.glob(f"{data}/dandelion_grass/*/*.jpg"))[:40] + sorted(glob.glob(f"{data}/planet/tif/*.tif"))
    with open(f"{out}/real.txt", "w") as listing:
        for i, path in enumerate(real):
            with Image.open(path) as image:
                if path.endswith(".tif"):
                    # Four 16-bit bands, the fourth (near infrared) declared as premultiplied alpha, by which Pillow would
                    # divide. The file is one uncompressed strip.
                    offset, size = image.tag_v2[273][0], image.tag_v2[279][0]
                    bands = np.frombuffer(open(path, "rb").read(), "<u2", size // 2, offset).reshape(256, 256, 4)
                    expect(f"real-{i}", np.rint(bands[..., :3] / 257.0))
                else:
                    expect(f"real-{i}", np.asarray(ImageOps.exif_transpose(image).convert("RGB")))
            listing.write(path + "\n")
