"""launch/convert_weights.py as a user calls it, on files as torchvision and training programs leave them."""

import contextlib
import io
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import unittest

import torch
from safetensors import safe_open
from safetensors.torch import load_file

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "launch" / "convert_weights.py"
sys.path.insert(0, str(SCRIPT.parent))
import convert_weights as script  # noqa: E402


class Evil:
    """What a hostile pickle does: anything."""

    def __reduce__(self):
        return (os.system, (f"touch '{os.environ['EVIL_MARK']}'",))


class ConvertWeights(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        torch.manual_seed(1)
        self.weights = {"conv1.weight": torch.randn(4, 3, 3, 3), "bn1.running_mean": torch.randn(4),
                        "bn1.num_batches_tracked": torch.tensor(7), "fc.weight": torch.randn(2, 4, dtype=torch.float16)}

    def run_script(self, *arguments, code=0):
        """In this process: importing torch anew for each call would take most of the time."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            self.assertEqual(script.main([str(argument) for argument in arguments]), code)
        return said.getvalue()

    def save(self, content, name="weights.pth", **options):
        torch.save(content, self.folder / name, **options)
        return self.folder / name

    def assert_weights(self, file, expected=None):
        actual = load_file(file)
        expected = expected or self.weights
        self.assertEqual(set(actual), set(expected))
        for name, value in expected.items():
            self.assertEqual(actual[name].dtype, value.dtype, name)
            self.assertTrue(torch.equal(actual[name], value), name)

    def test_plain_weights_keep_every_bit(self):
        for name, options in (("a.pth", {}), ("b.pt", {"_use_new_zipfile_serialization": False}), ("c.bin", {})):
            text = self.run_script(self.save(self.weights, name, **options))
            self.assertIn("4 tensors", text)
            self.assert_weights(self.folder / f"{name[0]}.safetensors")

    def test_wrappers_and_module_prefix_are_taken_off(self):
        wrapped = {"module." + name: value for name, value in self.weights.items()}
        for content in ({"state_dict": wrapped, "epoch": 3}, {"model": wrapped, "optimizer": {"state": {0: {"m": torch.ones(1)}}}},
                        {"checkpoint": {"state_dict": wrapped}}):
            text = self.run_script(self.save(content), "--force")
            self.assertIn("module.", text)
            self.assert_weights(self.folder / "weights.safetensors")

    def test_several_sets_of_weights_have_to_be_chosen_from(self):
        file = self.save({"student": self.weights, "teacher": {"x": torch.ones(2)}})
        self.assertIn("student, teacher", self.run_script(file, code=1))
        self.run_script(file, "--key", "teacher", "-o", self.folder / "t.safetensors")
        self.assert_weights(self.folder / "t.safetensors", {"x": torch.ones(2)})
        self.assertIn("no weights under 'pupil'", self.run_script(file, "--key", "pupil", code=1))

    def test_views_of_one_memory_and_odd_layouts_become_plain(self):
        base = torch.randn(6, 4)
        content = {"a": base, "b": base[1:3], "tied": base, "t": base.t(), "p": torch.nn.Parameter(base),
                   "cl": torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last), "epoch": 3, "empty": torch.ones(0, 3)}
        text = self.run_script(self.save(content))
        self.assertIn("shared memory", text)
        self.assertIn("no tensors: epoch", text)
        self.assert_weights(self.folder / "weights.safetensors",
                            {name: value.detach() for name, value in content.items() if name != "epoch"})

    def test_code_is_never_run(self):
        mark = self.folder / "mark"
        os.environ["EVIL_MARK"] = str(mark)
        file = self.save({"state_dict": self.weights, "surprise": Evil()})
        text = self.run_script(file, code=1)
        self.assertIn("refused", text)
        self.assertIn("state_dict()", text)
        with open(self.folder / "raw.pkl", "wb") as out:
            pickle.dump(Evil(), out)
        self.run_script(self.folder / "raw.pkl", code=1)
        self.assertIn("refused", self.run_script(self.save(torch.nn.Linear(2, 2)), code=1))
        self.assertFalse(mark.exists())
        self.assertEqual(list(self.folder.glob("*.safetensors")), [])

    def test_what_is_no_whole_file_is_refused(self):
        file = self.save(self.weights)
        whole = file.read_bytes()
        for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:length])
            self.run_script(file, code=1)
        file.write_bytes(b"<html>404</html>")
        self.run_script(file, code=1)
        self.assertIn("no file", self.run_script(self.folder / "missing.pth", code=1))
        for content, words in ((torch.ones(3), "one tensor"), ({"epoch": 1}, "no tensors"), ([1, 2], "no tensors")):
            self.assertIn(words, self.run_script(self.save(content), code=1))
        self.assertIn("sparse", self.run_script(self.save({"x": torch.eye(3).to_sparse()}), code=1))
        self.assertEqual(list(self.folder.glob("*.safetensors")) + list(self.folder.glob(".*")), [])

    def test_list_writes_nothing_and_existing_files_stay(self):
        file = self.save(self.weights)
        text = self.run_script(file, "--list")
        self.assertRegex(text, r"conv1\.weight +float32 +\[4, 3, 3, 3\]")
        output = self.folder / "weights.safetensors"
        self.assertFalse(output.exists())
        output.write_text("mine")
        self.assertIn("exists already", self.run_script(file, code=1))
        self.assertEqual(output.read_text(), "mine")
        self.assertIn("safetensors already", self.run_script(output, code=1))

    def test_it_runs_as_a_program(self):
        def run(*arguments):
            result = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)
            self.assertNotIn("Traceback", result.stderr)
            return result.returncode, result.stdout + result.stderr

        self.assertIn("--key", run("--help")[1])
        self.assertEqual(run()[0], 2)
        code, text = run(self.save(self.weights))
        self.assertEqual(code, 0, text)
        self.assert_weights(self.folder / "weights.safetensors")
        self.assertEqual(run(self.folder / "missing.pth")[0], 1)

    def test_the_file_says_where_it_came_from(self):
        self.run_script(self.save(self.weights))
        with safe_open(self.folder / "weights.safetensors", framework="pt") as file:
            self.assertEqual(file.metadata(), {"format": "pt", "converted_from": "weights.pth"})


if __name__ == "__main__":
    unittest.main()
