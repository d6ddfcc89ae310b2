"""Reads with h5py what Baleen wrote, and writes with h5py what Baleen should read or refuse: hdf5_h5py.py OURS THEIRS."""
import sys

import h5py
import numpy as np

with h5py.File(sys.argv[1], "r") as f:
    assert f["bytes"].dtype == np.uint8 and f["bytes"][()].tolist() == [[1, 2], [3, 250], [251, 252]]
    assert f["bytes"].chunks is None and f["bytes"].compression is None
    assert f["i32"][()].tolist() == [-7, 9]
    assert f["f32"].dtype == np.float32 and f["f32"][()].ravel().tolist() == [0.5, -1.25]
    assert [s.decode() for s in f["names"][()]] == ["a", "", "größer"]
    assert f["inner/f64"][()] == 1e300
    assert f["inner"].attrs["count"] == 4 and f["inner"].attrs["ratio"] == 0.25
    assert f["inner"].attrs["name"].decode() == "resnet18"

with h5py.File(sys.argv[2], "w") as f:
    f.create_dataset("variable", data=["a", "", "größer"], dtype=h5py.string_dtype())
    f.create_dataset("chunked", data=np.arange(1000, dtype=np.float32), chunks=(100,))
    f.create_dataset("compressed", data=np.zeros(5000, dtype=np.uint8), compression="gzip")
    f.create_dataset("plain", data=np.arange(10, dtype=np.uint8))
    f.create_dataset("big_endian", data=np.array([1.5, -2.0], dtype=">f4"))
    # A shape that no memory holds, with no bytes behind it.
    f.create_dataset("endless", shape=(1 << 20, 1 << 20), dtype=np.float64)
    f.attrs["text"] = "of variable length"
