#!/usr/bin/env python3
"""Tests of the checks: each must find what it is for in a small source tree, and must be content without."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOMS = ("core", "data", "distributed", "experiments", "launch", "tests")


class Checks(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        shutil.copytree(HERE, self.root / "tests/lint", ignore=shutil.ignore_patterns("__pycache__"))
        for room in ROOMS:
            self.write(f"{room}/README.md", f"# {room}\n")
        self.write("core/a.h", "#pragma once\n\n#include <string>\n\nstd::string a();\n")

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def run_check(self, name):
        script = self.root / f"tests/lint/check_{name}.py"
        done = subprocess.run([sys.executable, "-B", script], capture_output=True, text=True)
        return done.returncode, done.stdout

    def assert_found(self, name, *texts):
        code, output = self.run_check(name)
        self.assertEqual(code, 1, output)
        for text in texts:
            self.assertIn(text, output)

    def test_a_clean_tree_passes(self):
        for name in ("arrows", "files", "includes"):
            code, output = self.run_check(name)
            self.assertEqual(code, 0, output)

    def test_an_empty_tree_fails(self):
        (self.root / "core/a.h").unlink()
        for name in ("arrows", "includes"):
            self.assert_found(name, "nothing was checked")

    def test_rooms_that_may_not_know_each_other(self):
        self.write("core/b.cpp", '#include "data/x.h"\n')
        self.write("data/b.cpp", '// A comment.\n#include "distributed/x.h"\n')
        self.write("launch/b.cpp", '#include "core/a.h"\n#include "experiments/x.h"\n')
        self.assert_found("arrows", "core/b.cpp:1: core may not include", "data/b.cpp:2: data may not include")
        self.assertNotIn("launch/b.cpp", self.run_check("arrows")[1])

    def test_third_party_interfaces_stay_at_home(self):
        outside = {"mpi.h": "MPI", "hdf5.h": "HDF5", "H5Dpublic.h": "HDF5", "opencv2/core.hpp": "OpenCV", "nccl.h": "NCCL"}
        outside.update({"yaml-cpp/yaml.h": "yaml-cpp", "spdlog/spdlog.h": "spdlog", "CLI/CLI.hpp": "CLI11"})
        outside.update({"torch/csrc/distributed/c10d/Work.hpp": "c10d", "cuda_runtime.h": "CUDA", "torch/torch.h": "torch/torch.h"})
        for number, header in enumerate(outside):
            self.write(f"experiments/f{number}.cpp", f"#include <{header}>\n")
        self.assert_found("arrows", *(f"experiments/f{n}.cpp:1: {what}" for n, what in enumerate(outside.values())))

    def test_third_party_interfaces_at_home(self):
        self.write("distributed/b.cpp", "#include <mpi.h>\n#include <torch/csrc/distributed/c10d/Work.hpp>\n")
        self.write("tests/distributed/b_mpi_test.cpp", "#include <mpi.h>\n")
        self.write("data/hdf5/b.cpp", "#include <hdf5.h>\n")
        self.write("launch/b.cpp", "#include <CLI/App.hpp>\n")
        self.assertEqual(self.run_check("arrows")[0], 0, self.run_check("arrows")[1])

    def test_includes_from_elsewhere(self):
        self.write("core/b.cpp", '#include "a.h"\n')
        self.write("data/b.cpp", '#include "tests/support/x.h"\n')
        self.assert_found("arrows", "'a.h' is not a path from the root", "only tests may include")

    def test_long_files_notes_paths_and_guards(self):
        self.write("core/b.cpp", "int a;\n" * 401)
        self.write("core/c.cpp", "// TO" "DO: finish\n")
        self.write("core/d.cpp", 'const char* path = "/ho' 'me/somebody/data";\n')
        self.write("core/e.h", "int e();\n")
        self.write("core/f.cpp", "int f;  \n")
        self.write("docs/g.md", "See [nothing](nowhere.md).\n")
        (self.root / "data/README.md").unlink()
        self.assert_found(
            "files", "core/b.cpp: 401 lines", "core/c.cpp:1: unfinished", "core/d.cpp:1: path of one machine",
            "core/e.h: no #pragma once", "core/f.cpp:1: blanks", "docs/g.md: link to 'nowhere.md'", "data/README.md is missing",
        )

    def test_headers_without_the_includes_of_their_names(self):
        self.write("core/b.h", "#pragma once\n\nstd::vector<int64_t> b();  // std::map in a comment\n")
        self.write("core/c.h", '#pragma once\n\n#include "core/a.h"\n\nstd::string c();\n')
        self.write("core/d.h", '#pragma once\n\n#include "core/e.h"\n')
        self.write("core/e.h", '#pragma once\n\n#include "core/d.h"\n\n#include <map>\n\nstd::map<int, int> e();\n')
        self.assert_found("includes", "core/b.h: uses std::vector", "core/b.h: uses fixed-width")
        output = self.run_check("includes")[1]
        self.assertNotIn("std::map", output)
        self.assertNotIn("core/c.h", output)


if __name__ == "__main__":
    unittest.main()
