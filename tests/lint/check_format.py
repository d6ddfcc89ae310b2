#!/usr/bin/env python3
"""Checks that clang-format would change nothing; --fix lets it. Skips (exit 77) where there is no clang-format 14: other
versions break lines differently."""

import shutil
import subprocess
import sys

import sources

VERSION = 14
BATCH = 40


def find_clang_format():
    for name in (f"clang-format-{VERSION}", "clang-format"):
        program = shutil.which(name)
        if program and f"version {VERSION}." in subprocess.run([program, "--version"], capture_output=True, text=True).stdout:
            return program
    print(f"skipped: no clang-format {VERSION} here")
    sys.exit(77)


def main():
    program = find_clang_format()
    checked = [str(path) for path in sources.files(".h", ".cpp")]
    mode = ["-i"] if "--fix" in sys.argv else ["--dry-run", "-Werror", "--ferror-limit=1"]
    problems = []
    for first in range(0, len(checked), BATCH):
        done = subprocess.run([program, *mode, *checked[first : first + BATCH]], cwd=sources.ROOT, capture_output=True, text=True)
        problems += [line for line in done.stderr.splitlines() if "error:" in line]
        if done.returncode and not problems:
            problems.append(done.stderr.strip())
    if problems:
        print("To format all files: tests/lint/check_format.py --fix")
    sources.finish("format", problems, len(checked))


if __name__ == "__main__":
    main()
