"""Prints the main content of an oof.h5 with h5py, to show that other tools can read it. usage: read_oof.py FILE"""

import sys

import h5py


def main():
    with h5py.File(sys.argv[1]) as h5:
        text = lambda value: value.decode() if isinstance(value, bytes) else str(value)
        print(text(h5.attrs["format"]), h5.attrs["format_version"], text(h5.attrs["target_kind"]))
        for name in ("ids", "labels", "models"):
            print(*(text(value) for value in h5[name][:]))
        print(*h5["folds"][:])
        print(h5["oof"].shape, h5["oof"].dtype, h5["oof"][1, 5, 1])
        print(h5["test"].shape, h5["test"].dtype, h5["test"][0, 0, 0])


if __name__ == "__main__":
    main()
