"""Compares packed Fashion-MNIST images with the IDX files, by id: pack_fashion.py PACKED IMAGES LABELS."""
import gzip
import json
import sys

import h5py
import numpy as np

packed, images, labels = sys.argv[1:4]
images = np.frombuffer(gzip.open(images).read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)
labels = np.frombuffer(gzip.open(labels).read(), np.uint8, offset=8)
manifest = json.load(open(f"{packed}/manifest.json"))
seen = 0
for shard in manifest["shards"]:
    with h5py.File(f"{packed}/{shard['file']}", "r") as f:
        rows = np.array([int(s.decode().split("/")[-1]) for s in f["ids"][()]])
        assert (f["images"][()] == images[rows]).all(), "pixels differ"
        assert (f["classes"][()] == labels[rows]).all(), "classes differ"
        seen += len(rows)
assert seen == manifest["rows"] == 500
