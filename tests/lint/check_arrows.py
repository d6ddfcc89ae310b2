#!/usr/bin/env python3
"""Checks who includes whom: the arrows between the rooms, and the one place where each third-party interface may be used.

    launch -> experiments -> {data, distributed} -> core
"""

import re

import sources

MAY_INCLUDE = {
    "core": {"core"},
    "data": {"data", "core"},
    "distributed": {"distributed", "core"},
    "experiments": {"experiments", "data", "distributed", "core"},
    "launch": {"launch", "experiments", "data", "distributed", "core"},
}

# (what, pattern of the included file, where it may be included). A folder of tests has the rights of the room it tests.
CONFINED = [
    ("yaml-cpp", r"yaml-cpp/", ("core/config/",)),
    ("spdlog", r"spdlog/", ("core/base/logging.cpp",)),
    ("HDF5", r"(hdf5|H5\w+)\.h$", ("data/",)),
    ("OpenCV", r"opencv", ("data/",)),
    ("libjpeg", r"j(peglib|error|config)\.h$", ("data/",)),
    ("zlib", r"zlib\.h$", ("data/",)),
    ("MPI", r"mpi(-ext)?\.h$", ("distributed/", "tests/support/")),
    ("NCCL", r"nccl\.h$", ("distributed/",)),
    ("c10d", r"torch/csrc/distributed/", ("distributed/",)),
    ("CUDA", r"(cuda\w*\.h$|(c10|ATen|torch/csrc)/cuda/)", ("distributed/cuda_plugin/",)),
    ("CLI11", r"CLI/", ("launch/",)),
]
FORBIDDEN = [("torch/torch.h", r"^torch/(torch|all|extension)\.h$", "it takes 20 s to compile: include what is used")]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
# Programs that drive everything at once.
WHOLE = ("tests/benchmarks/", "tests/end_to_end/", "tests/faults/")


def room_of(path):
    """The room whose rights a file has, or None where it may include everything."""
    text = path.as_posix()
    if text.startswith(WHOLE) or text.startswith("cmake/"):
        return None
    parts = path.parts[1:] if path.parts[0] == "tests" else path.parts
    return parts[0] if parts and parts[0] in MAY_INCLUDE else None


def problems_of(path):
    text = sources.read(path)
    room = room_of(path)
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        quote, name = match.groups()
        where = f"{path}:{line}"
        if quote == '"':
            owner = name.split("/")[0]
            if owner == path.parts[0] == "cmake":  # precompiled headers include each other
                continue
            if owner not in MAY_INCLUDE and not name.startswith("tests/"):
                yield f"{where}: '{name}' is not a path from the root (core/, data/, ...)"
            elif name.startswith("tests/") and path.parts[0] != "tests":
                yield f"{where}: only tests may include '{name}'"
            elif owner in MAY_INCLUDE and room and owner not in MAY_INCLUDE[room]:
                yield f"{where}: {room} may not include '{name}': its arrows lead to {sorted(MAY_INCLUDE[room])}"
            continue
        mine = path.as_posix()
        as_tested = mine.removeprefix("tests/")
        for what, pattern, allowed in CONFINED:
            if re.search(pattern, name) and not mine.startswith(WHOLE):
                if not (mine.startswith(allowed) or (mine != as_tested and as_tested.startswith(tuple(a.split("/")[0] for a in allowed)))):
                    yield f"{where}: {what} ('{name}') may be included in {', '.join(allowed)} only"
        for what, pattern, why in FORBIDDEN:
            if re.search(pattern, name):
                yield f"{where}: {what} must not be included: {why}"


def main():
    checked = sources.files(".h", ".cpp")
    problems = [problem for path in checked for problem in problems_of(path)]
    sources.finish("arrows", problems, len(checked))


if __name__ == "__main__":
    main()
