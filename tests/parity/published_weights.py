"""Weights as they are published: torchvision's state_dicts (random), saved and wrapped in the ways that are about, each turned
into safetensors by launch/convert_weights.py; and the networks' logits on given images, in double precision.
"""

import json
import pathlib
import re
import subprocess
import sys

import torch
import torchvision
from safetensors.torch import save_file

OUTPUTS = 7
SIZES = {"resnet18": 64, "resnet50": 64, "densenet121": 64, "inception_v3": 96}
folder = pathlib.Path(sys.argv[1])
script = pathlib.Path(__file__).resolve().parents[2] / "launch" / "convert_weights.py"


def network(name):
    torch.manual_seed(3)
    options = {"init_weights": False} if name == "inception_v3" else {}
    net = getattr(torchvision.models, name)(num_classes=OUTPUTS, **options).eval()
    for key, value in net.state_dict().items():  # no statistics and affine parts at their start
        if key.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.dim() == 1:
            value.add_(torch.randn_like(value) * 0.1)
    return net


def old(state):
    """As files from before 2018 are: DenseNet's dotted names, no counters of batches."""
    dotted = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", key): value for key, value in state.items()}
    return {key: value for key, value in dotted.items() if not key.endswith("num_batches_tracked")}


def renamed(state, *pairs):
    result = {}
    for key, value in state.items():
        for old_start, new_start in pairs:
            if key.startswith(old_start):
                key = new_start + key[len(old_start):]
        result[key] = value
    return result


torch.set_num_threads(1)
cases = []


def publish(name, variant, content, says="", is_old=False):
    file = folder / f"{name}-{variant}.pth"
    torch.save(content, file)
    subprocess.run([sys.executable, script, file], check=True, stdout=subprocess.DEVNULL)
    file.unlink()
    cases.append({"network": name, "file": f"{name}-{variant}.safetensors", "num_outputs": OUTPUTS, "says": says, "old": is_old})


for name, size in SIZES.items():
    net = network(name)
    state = net.state_dict()
    publish(name, "plain", state)
    if name == "resnet18":
        publish(name, "module", {"state_dict": {"module." + key: value for key, value in state.items()}, "epoch": 3})
        publish(name, "model", {"model." + key: value for key, value in state.items()}, "prefix 'model.' taken off 122 names")
        publish(name, "compiled", {"model": {"_orig_mod.backbone." + key: value for key, value in state.items()}}, "'_orig_mod.backbone.'")
        publish(name, "cadene", renamed(state, ("fc.", "last_linear.")), "the last layer is 'fc' here and 'last_linear' there")
        publish(name, "counterless", old(state), "none of 20 batch counters", True)
    if name == "densenet121":
        publish(name, "dotted", old(state), "'norm.1' read as 'norm1'", True)
        publish(name, "cadene", renamed(old(state), ("classifier.", "last_linear.")), "'last_linear'", True)
    if name == "inception_v3":
        publish(name, "without-auxiliary", {key: value for key, value in state.items() if not key.startswith("AuxLogits.")})
    net = net.double()
    images = torch.randn(2, 3, size, size, dtype=torch.float64)
    with torch.no_grad():
        save_file({"images": images, "logits": net(images)}, folder / f"{name}.answers")
(folder / "cases.json").write_text(json.dumps(cases))
