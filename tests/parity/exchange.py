"""Reads the cases a C++ test left in a directory and writes the oracle's answers beside them."""

import json
import pathlib
import sys

from safetensors import safe_open
from safetensors.torch import save_file


def answer_all(answer):
    """Calls answer(tensors, settings) -> tensors for each `<name>.in.safetensors` of the directory in argv.

    Where the settings have `exact`, the same question is answered in float64 too, under names with that prefix.
    """
    cases = sorted(pathlib.Path(sys.argv[1]).glob("*.in.safetensors"))
    assert cases, f"no cases in {sys.argv[1]}"
    for case in cases:
        with safe_open(case, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            settings = json.loads((file.metadata() or {}).get("settings", "{}"))
        answers = answer(tensors, settings)
        if settings.get("exact"):
            wide = {name: value.double() if value.is_floating_point() else value for name, value in tensors.items()}
            answers |= {"exact/" + name: value for name, value in answer(wide, settings).items()}
        answers = {name: value.detach().contiguous().clone() for name, value in answers.items()}
        save_file(answers, str(case).replace(".in.safetensors", ".out.safetensors"))
