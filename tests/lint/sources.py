"""Which files the checks look at, and how they report: shared by the scripts of this folder."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROOMS = ("core", "data", "distributed", "experiments", "launch")
FOLDERS = ROOMS + ("tests", "cmake", "docs", ".ci")
SKIPPED = {"__pycache__", "build"}


def files(*suffixes):
    """Own files with one of these suffixes (all files without), relative to the root, sorted."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file() and not SKIPPED & set(path.parts)]
    return sorted(path.relative_to(ROOT) for path in found if not suffixes or path.suffix in suffixes)


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def finish(what, problems, num_checked):
    """Prints the problems, or what was checked; ends the process. Checking nothing is a failure too."""
    if num_checked == 0:
        problems = problems + [f"{what}: nothing was checked; is {ROOT} the source tree?"]
    for problem in problems:
        print(problem)
    print(f"{what}: {num_checked} checked, {len(problems)} problems")
    sys.exit(1 if problems else 0)
