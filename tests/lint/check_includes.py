#!/usr/bin/env python3
"""Checks that headers include the standard headers of the names they use, themselves or through other headers of ours. The
precompiled header would hide their absence from the compiler; the target verify_headers compiles every header alone, which
takes minutes."""

import re

import sources

HEADER_OF = {
    "algorithm": ["sort", "stable_sort", "min", "max", "clamp", "find_if", "transform", "copy_n", "fill", "any_of", "all_of"],
    "array": ["array"],
    "atomic": ["atomic"],
    "chrono": ["chrono"],
    "condition_variable": ["condition_variable"],
    "cstddef": ["byte"],
    "deque": ["deque"],
    "exception": ["exception", "exception_ptr"],
    "filesystem": ["filesystem"],
    "functional": ["function"],
    "future": ["future", "promise"],
    "initializer_list": ["initializer_list"],
    "map": ["map", "multimap"],
    "memory": ["unique_ptr", "shared_ptr", "weak_ptr", "make_unique", "make_shared", "enable_shared_from_this"],
    "mutex": ["mutex", "lock_guard", "unique_lock", "scoped_lock"],
    "optional": ["optional", "nullopt"],
    "ostream": ["ostream"],
    "set": ["set"],
    "span": ["span"],
    "string": ["string", "to_string"],
    "string_view": ["string_view"],
    "thread": ["thread", "jthread"],
    "tuple": ["tuple"],
    "unordered_map": ["unordered_map"],
    "unordered_set": ["unordered_set"],
    "utility": ["move", "forward", "pair", "exchange", "swap"],
    "variant": ["variant"],
    "vector": ["vector"],
}
# Names that these headers bring with them by the standard or by long custom.
ALSO_FROM = {
    "initializer_list": {"vector", "string", "map"},
    "utility": {"map", "memory", "vector", "functional", "tuple", "algorithm", "string", "optional"},
    "exception": {"stdexcept"},
    "string": {"filesystem"},
    "ostream": {"iostream", "sstream", "fstream"},
}
# What every header of LibTorch brings with it.
FROM_LIBTORCH = {"cstdint", "functional", "memory", "optional", "string", "tuple", "unordered_map", "utility", "vector"}
NAMES = {name: header for header, names in HEADER_OF.items() for name in names}
USE = re.compile(r"\bstd::(\w+)\b")
FIXED_WIDTH = re.compile(r"(?<![\w:])(?:std::)?u?int(?:8|16|32|64)_t\b")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def included_by(path, seen=None):
    """Angled includes of a header of ours and of those of ours that it includes. Headers may include each other."""
    seen = set() if seen is None else seen
    seen.add(path)
    text = sources.read(path)
    found = set(re.findall(r"#\s*include\s*<([^>]+)>", text))
    for own in re.findall(r'#\s*include\s*"([^"]+)"', text):
        if own not in seen and (sources.ROOT / own).is_file():
            found |= included_by(own, seen)
    if any(name.startswith(("ATen/", "c10/", "torch/")) for name in found):
        found |= FROM_LIBTORCH
    return found


def problems_of(path):
    text = COMMENT.sub("", sources.read(path))
    included = included_by(path.as_posix())
    wanted = {NAMES[name]: name for name in USE.findall(text) if name in NAMES}
    for header, name in sorted(wanted.items()):
        if header not in included and not ALSO_FROM.get(header, set()) & included:
            yield f"{path}: uses std::{name} without <{header}>"
    if FIXED_WIDTH.search(text) and not {"cstdint", "cinttypes"} & included:
        yield f"{path}: uses fixed-width integers without <cstdint>"


def main():
    checked = [path for path in sources.files(".h") if path.parts[0] in sources.ROOMS]
    problems = [problem for path in checked for problem in problems_of(path)]
    sources.finish("includes of headers", problems, len(checked))


if __name__ == "__main__":
    main()
