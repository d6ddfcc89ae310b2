"""Loads what Baleen wrote, strictly into torchvision's network where the settings say that it has it, and saves it again."""

import json
import pathlib
import sys

import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save_file

for case in sorted(pathlib.Path(sys.argv[1]).glob("*.in.safetensors")):
    with safe_open(case, framework="pt") as file:
        settings = json.loads(file.metadata()["settings"])
    state = load_file(case)
    name = settings["name"]
    assert settings["torchvision"] == hasattr(torchvision.models, name), f"whether torchvision has {name} is recorded wrongly"
    if settings["torchvision"]:
        options = {"init_weights": False, "aux_logits": any(key.startswith("AuxLogits.") for key in state)} if name == "inception_v3" else {}
        with torch.device("meta"):
            network = getattr(torchvision.models, name)(num_classes=settings["num_outputs"], **options)
        network = network.to_empty(device="cpu")
        network.load_state_dict(state, strict=True)
        state = network.state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, str(case).replace(".in.", ".out."))
