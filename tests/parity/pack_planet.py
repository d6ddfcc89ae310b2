"""Compares a packed Planet dataset with Pillow, its table and h5py: pack_planet.py PACKED SOURCE."""
import collections
import csv
import json
import sys

import h5py
import numpy as np
from PIL import Image

packed, source = sys.argv[1:3]
manifest = json.load(open(f"{packed}/manifest.json"))
rows = list(csv.DictReader(open(f"{source}/labels.csv")))
tags = {row["image_name"]: set(row["tags"].split()) for row in rows}
counts = collections.Counter(tag for of_row in tags.values() for tag in of_row)
assert dict(zip(manifest["labels"], manifest["label_counts"])) == dict(counts), "label counts differ"
assert manifest["rows"] == len(rows)

total = np.zeros(3)
largest = 0
seen = 0
for shard in manifest["shards"]:
    with h5py.File(f"{packed}/{shard['file']}", "r") as f:
        assert f["images"].chunks is None and f["images"].shape == (shard["rows"], 256, 256, 3)
        assert f["images_64"].shape == (shard["rows"], 64, 64, 3)
        for i, name in enumerate(s.decode() for s in f["ids"][()]):
            expected = np.asarray(Image.open(f"{source}/train/{name}.jpg").convert("RGB")).astype(int)
            stored = f["images"][i].astype(int)
            largest = max(largest, np.abs(stored - expected).max())
            mean4 = expected.reshape(64, 4, 64, 4, 3).mean((1, 3))
            assert np.abs(f["images_64"][i] - mean4).max() <= 1, f"{name}: the small size is not the mean of 4 x 4 blocks"
            total += expected.mean((0, 1))
            labels = {manifest["labels"][k] for k in np.flatnonzero(f["labels"][i])}
            assert labels == tags[name], f"{name}: {labels} instead of {tags[name]}"
            seen += 1
assert seen == len(rows)
mean = total / seen
print(f"{seen} chips: largest difference to Pillow {largest} levels, mean colour {mean.round(3)}, stored {np.round(manifest['mean_colour'], 3)}")
assert largest <= 1
assert np.abs(mean - manifest["mean_colour"]).max() < 0.01
