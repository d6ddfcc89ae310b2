#!/usr/bin/env python3
"""Runs clang-tidy on files of ours. LibTorch's headers make it slow (about 15 s per file), so that the test takes the files
that include none of them, several at once where the build compiles several at once (BALEEN_UNITY); --all takes all, names take
those, one by one, which also finds unused `using`. Skips (exit 77) without clang-tidy or compile_commands.json.

    tests/lint/check_tidy.py BUILD_FOLDER [--all | FILE ...]
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

import sources

HEAVY = ("ATen/", "c10/", "torch/")


def is_light(path, seen=None):
    """Whether neither this file nor what it includes of ours includes LibTorch."""
    seen = set() if seen is None else seen
    seen.add(path)
    text = sources.read(path)
    if any(name.startswith(HEAVY) for name in re.findall(r"#\s*include\s*<([^>]+)>", text)):
        return False
    own = re.findall(r'#\s*include\s*"([^"]+)"', text)
    return all(is_light(name, seen) for name in own if name not in seen and (sources.ROOT / name).is_file())


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def units_of(build):
    """Generated files that include several of ours: {unit: the files in it}; none where each file is compiled alone. Those that an
    earlier configuration left behind are none."""
    units = {}
    database = (build / "compile_commands.json").read_text()
    for unit in sorted((build / "generated" / "unity").glob("*.cpp")):
        if f'"{unit}"' in database:
            units[unit] = [pathlib.Path(name) for name in re.findall(r'#include "([^"]+)"', unit.read_text())]
    return units


def tidy(program, build, path):
    # The build may be GCC's: clang need not know all of its warnings. Units include files on purpose.
    command = [program, "--quiet", "--extra-arg=-Wno-unknown-warning-option", "-p", str(build), path.as_posix()]
    if path.is_absolute():
        command.insert(1, "--checks=-bugprone-suspicious-include")
    done = subprocess.run(command, cwd=sources.ROOT, capture_output=True, text=True)
    found = re.findall(r"^.*(?:error|warning):.*$", done.stdout, re.MULTILINE)
    if done.returncode and not found:
        found = [f"{path}: {(done.stderr or done.stdout).strip()[-500:]}"]
    return found


def without_precompiled_header(build):
    """A compilation database for clang, which can't read gcc's precompiled header; files include what they use anyway."""
    text = (build / "compile_commands.json").read_text()
    text = re.sub(r"-Winvalid-pch -include \S+cmake_pch\.hxx ?", "", text).replace("-fpch-preprocess ", "")
    folder = build / "tidy"
    folder.mkdir(exist_ok=True)
    (folder / "compile_commands.json").write_text(text)
    return folder


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1]).resolve()
    program = shutil.which("clang-tidy")
    if not program:
        skip("no clang-tidy here")
    if not (build / "compile_commands.json").is_file():
        skip(f"no compile_commands.json in {build}")
    names = [name for name in sys.argv[2:] if not name.startswith("--")]
    chosen = [path for path in sources.files(".cpp") if path.parts[0] in sources.ROOMS]
    if names:
        chosen = [pathlib.Path(name) for name in names]
    elif "--all" not in sys.argv:
        chosen = [path for path in chosen if is_light(path.as_posix())]
    num_checked = len(chosen)
    if not names and "--all" not in sys.argv:
        light = set(chosen)
        for unit, files in units_of(build).items():
            if light.issuperset(files):
                light.difference_update(files)
                light.add(unit)
        chosen = sorted(light)
    database = without_precompiled_header(build)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda path: tidy(program, database, path), chosen)
        problems = [problem for of_one in found for problem in of_one]
    sources.finish("clang-tidy", problems, num_checked)


if __name__ == "__main__":
    main()
