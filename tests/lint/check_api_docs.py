#!/usr/bin/env python3
"""Checks that Doxygen makes the HTML reference of all headers without a warning (docs/Doxyfile). Skipped without doxygen."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import sources


def main():
    if not shutil.which("doxygen"):
        print("SKIPPED: there is no doxygen (Debian: apt-get install doxygen)")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="baleen-api-") as folder:
        done = subprocess.run(["doxygen", "docs/Doxyfile"], cwd=sources.ROOT, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=dict(os.environ, BALEEN_API_DOCS=folder, BALEEN_VERSION="test"))
        problems = [line.replace(f"{sources.ROOT}/", "") for line in done.stdout.splitlines()]
        if done.returncode and not problems:
            problems = [f"doxygen ended with {done.returncode}"]
        pages = list(pathlib.Path(folder).glob("*.html"))
        headers = [file for file in sources.files(".h") if file.parts[0] in sources.ROOMS]
        # Every header has a page: 'retrieval_8h.html'.
        names = {page.name for page in pages}
        missing = [file for file in headers if not any(name.endswith(f"{doxygen_name(file.name)}.html") for name in names)]
        problems += [f"{file}: has no page" for file in missing]
    sources.finish("API reference", problems, len(headers))


def doxygen_name(file):
    return file.replace("_", "__").replace(".", "_8")


if __name__ == "__main__":
    main()
