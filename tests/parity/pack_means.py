"""Mean colour and counts of packed datasets against Pillow: pack_means.py LISTING.

LISTING is JSON: a list of {"packed": directory, "files": {id: file}, "labels": {label: count}}.
"""

import json
import sys

import numpy as np
from PIL import Image, ImageOps


def mean_colour(file, channels, side):
    with Image.open(file) as image:
        if file.endswith(".tif"):
            # Four 16-bit bands, of which Pillow would take the last for alpha. One uncompressed strip.
            offset, size = image.tag_v2[273][0], image.tag_v2[279][0]
            bands = np.frombuffer(open(file, "rb").read(), "<u2", size // 2, offset).reshape(*image.size[::-1], 4)
            return (bands[..., :3] / 257.0).mean((0, 1))
        image = ImageOps.exif_transpose(image).convert("RGB" if channels == 3 else "L")
        # Averaging areas down to the stored square weighs every source pixel alike.
        return np.asarray(image.resize((side, side), Image.BOX), dtype=np.float64).reshape(-1, channels).mean(0)


for dataset in json.load(open(sys.argv[1])):
    manifest = json.load(open(f"{dataset['packed']}/manifest.json"))
    assert manifest["rows"] == len(dataset["files"]), f"{dataset['packed']}: {manifest['rows']} rows"
    counts = dict(zip(manifest["labels"], manifest["label_counts"]))
    assert counts == dataset["labels"], f"{dataset['packed']}: label counts differ"
    channels, side = manifest["channels"], manifest["resolutions"][0][0]
    means = np.array([mean_colour(file, channels, side) for file in dataset["files"].values()]).mean(0)
    difference = np.abs(means - manifest["mean_colour"]).max()
    print(f"{dataset['packed'].split('/')[-1]}: {len(dataset['files'])} images, mean colour {means.round(2)}, off by {difference:.3f}")
    assert difference <= 1
