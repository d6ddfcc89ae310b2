"""Reads the cases a C++ test left in a directory and writes the oracle's answers beside them."""

import json
import pathlib
import sys

from safetensors import safe_open
from safetensors.torch import save_file


def answer_all(answer):
    """Calls answer(tensors, settings) -> tensors for each `<name>.in.safetensors` of the directory in argv."""
    cases = sorted(pathlib.Path(sys.argv[1]).glob("*.in.safetensors"))
    assert cases, f"no cases in {sys.argv[1]}"
    for case in cases:
        with safe_open(case, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            settings = json.loads((file.metadata() or {}).get("settings", "{}"))
        answers = {name: value.detach().contiguous().clone() for name, value in answer(tensors, settings).items()}
        save_file(answers, str(case).replace(".in.safetensors", ".out.safetensors"))
