"""HDF5 files that no program of ours writes: their dataset "ids" is not what it seems. usage: crafted_hdf5.py FOLDER"""

import pathlib
import sys

import h5py
import numpy as np


def main():
    folder = pathlib.Path(sys.argv[1])

    def create(name, **options):
        return h5py.File(folder / f"{name}.h5", "w", **options)

    with create("other") as file:
        file["ids"] = np.zeros(6, "S8")
    with create("external_link") as file:
        file["ids"] = h5py.ExternalLink("other.h5", "/ids")
    with create("soft_link") as file:
        file["real"] = np.zeros(6, "S8")
        file["ids"] = h5py.SoftLink("/real")
    with create("soft_cycle") as file:
        file["ids"] = h5py.SoftLink("/ids")
    with create("group_cycle") as file:
        file.create_group("ids")["again"] = file["/"]
    with create("compressed") as file:
        file.create_dataset("ids", data=np.zeros(1 << 22, "S8"), compression="gzip")
    with create("chunked") as file:
        file.create_dataset("ids", shape=(1 << 40,), dtype="S8", chunks=(1024,))
    with create("unwritten") as file:
        file.create_dataset("ids", shape=(1 << 50,), dtype="S8")
    with create("scalar") as file:
        file["ids"] = np.bytes_("one")
    with create("nothing") as file:
        file["ids"] = h5py.Empty("S8")
    with create("compound") as file:
        file["ids"] = np.zeros(6, [("a", "i4"), ("b", "f8")])
    with create("committed") as file:
        file["kind"] = np.dtype([("a", "i4")])
        file.create_dataset("ids", (6,), dtype=file["kind"])
    with create("variable") as file:
        file.create_dataset("ids", data=["a"] * 6, dtype=h5py.string_dtype())
    with create("external_file") as file:
        (folder / "raw.bin").write_bytes(bytes(48))
        file.create_dataset("ids", (6,), dtype="S8", external=[("raw.bin", 0, 48)])
    with create("virtual", libver="latest") as file:
        layout = h5py.VirtualLayout(shape=(6,), dtype="S8")
        layout[:] = h5py.VirtualSource("other.h5", "ids", shape=(6,))
        file.create_virtual_dataset("ids", layout)
    with create("newer", libver="latest") as file:
        file["ids"] = np.zeros(6, "S8")
    newer = bytearray((folder / "newer.h5").read_bytes())
    newer[8] = 200  # the superblock's version
    (folder / "newer.h5").write_bytes(newer)
    whole = (folder / "other.h5").read_bytes()
    (folder / "truncated.h5").write_bytes(whole[: len(whole) // 2])
    (folder / "foreign.h5").write_bytes(b"PK\x03\x04" + bytes(4096))
    (folder / "empty.h5").write_bytes(b"")


if __name__ == "__main__":
    main()
