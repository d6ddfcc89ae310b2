"""Weights in and out: a torchvision file is converted, starts a run on grey images with frozen parts, and what the run learnt
goes back to torchvision and is explained; batch norm over the whole batch gives the same bytes on 1 and 2 ranks."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from harness import call, expect, main, make_dataset, result_digests, write_recipe

SCRIPT = pathlib.Path(os.environ["BALEEN_SOURCE"]) / "launch/convert_weights.py"
STAGES = [{"size_px": 12, "epochs": 1, "batch": 24, "freeze": ["trunk"], "optimizer": {"kind": "sgd", "lr": 0.05}},
          {"size_px": 16, "epochs": 1, "batch": 24, "freeze": ["*"], "unfreeze": ["layer4", "head"],
           "optimizer": {"kind": "adamw", "lr": 0.001, "weight_decay": 0.1, "head_weight_decay": 0.0, "head_lr_multiplier": 10}}]


def start_weights(directory):
    torch.manual_seed(5)
    network = torchvision.models.resnet18(num_classes=10)
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.8, 1.2)
    torch.save({"state_dict": {"module." + name: value for name, value in network.state_dict().items()}}, directory / "start.pth")
    subprocess.run([sys.executable, SCRIPT, directory / "start.pth"], check=True)
    return network.state_dict()


def frozen_parts_stay(directory, start):
    recipe = write_recipe(directory, stages=STAGES, folds__count=2, training__logical_shards=2, backbones=[
        {"name": "resnet18", "weights": "start.safetensors", "grey_stem": "sum", "batch_norm": "frozen"}])
    text = call(["run", recipe, "--run-dir", "frozen"], directory, ranks=2)
    expect("the stem's 3 channels became 1, their sum" in text, f"the log does not tell of the stem:\n{text}")
    expect("the head starts fresh" in text and "10x512 in the file, 4x512 here" in text, f"nor of the head:\n{text}")
    expect("weights are frozen" in text, f"nor of frozen weights:\n{text}")

    refusal = call(["export", "frozen"], directory, code=2)
    expect("2 finished chains" in refusal and "resnet18-f0-s1" in refusal, refusal)
    print(call(["export", "frozen", "--chain", "resnet18-f0-s1", "--output", "out/trained.safetensors"], directory))
    expect("exists already" in call(["export", "frozen", "--chain", "resnet18-f0-s1", "--output", "out/trained.safetensors"],
                                    directory, code=2), "an existing file was not refused")
    call(["export", "frozen", "--all", "--output", "all"], directory)
    expect(sorted(file.name for file in (directory / "all").iterdir())
           == ["resnet18-f0-s1.safetensors", "resnet18-f1-s1.safetensors"], "not all chains were exported")

    state = load_file(directory / "out/trained.safetensors")
    network = torchvision.models.resnet18(num_classes=4)
    network.conv1 = torch.nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    network.load_state_dict(state, strict=True)
    for name, value in start.items():
        if name.startswith("fc."):
            continue
        value = value.double().sum(1, keepdim=True).float() if name == "conv1.weight" else value
        trained = name.startswith("layer4.") and value.dim() == 4
        expect(torch.equal(state[name], value) != trained, f"{name} {'did not move' if trained else 'moved'}")
    with safe_open(directory / "out/trained.safetensors", framework="pt") as file:
        metadata = file.metadata()
    wanted = {"backbone": "resnet18", "num_outputs": "4", "in_channels": "1", "targets": "classes", "mean": "[0.5]", "std": "[0.5]",
              "chain": "resnet18-f0-s1", "size_px": "16", "format": "pt"}
    for key, value in wanted.items():
        expect(metadata.get(key) == value, f"metadata {key}: {metadata.get(key)} instead of {value}")
    expect("labels" in metadata and "plan" in metadata, f"metadata: {metadata}")


def overlays(folder, names, size):
    """The overlays that were written and no others: of the network's size, coloured, and not of one colour."""
    found = {file.name for file in folder.glob("*.png")} - {"sheet.png"}
    expect(found == names, f"{folder.name} holds {sorted(found)} instead of {sorted(names)}")
    pictures = {name: np.asarray(Image.open(folder / name).convert("RGB")).astype(int) for name in names}
    for name, picture in pictures.items():
        expect(picture.shape == (size, size, 3), f"{name} is of {picture.shape}")
        expect(picture.std((0, 1)).max() > 2, f"{name} is of one colour")
        expect(np.ptp(picture, axis=2).max() > 20, f"{name}: a grey image has no map over it")
    expect(len({picture.tobytes() for picture in pictures.values()}) == len(names), f"{folder.name}: the same picture twice")
    sheet = np.asarray(Image.open(folder / "sheet.png"))
    expect(min(sheet.shape[:2]) > 128 and sheet.std() > 10, f"sheet.png is of {sheet.shape}")
    page = (folder / "explain.html").read_text()
    expect(page.count("data:image/") >= len(names), "explain.html lacks pictures")
    return page


def networks_are_explained(directory):
    """Of a run the held-out images as --pick says, with the labels and methods that are asked for; of a file those of a folder."""
    common = ["--methods", "gradcam,saliency", "--count", 2, "--top", 1]
    shown = {}
    for pick in ("worst", "best", "first"):
        text = call(["explain", "frozen", "--chain", "resnet18-f1-s1", "--pick", pick, *common, "--out", f"seen-{pick}"], directory)
        expect("resnet18: 2 images, 4 maps (gradcam, saliency)" in text, text)
        names = {file.name for file in (directory / f"seen-{pick}").glob("*.png")} - {"sheet.png"}
        expect(sum("-gradcam" in name for name in names) == sum("-saliency" in name for name in names) == 2, sorted(names))
        page = overlays(directory / f"seen-{pick}", names, 16)
        expect("Grad-CAM" in page or "gradcam" in page, "the page does not name its method")
        shown[pick] = {name.rsplit("-", 2)[0] for name in names}
    expect(not shown["worst"] & shown["best"], f"the worst images are the best: {shown}")
    photos = directory / "photos"
    (photos / "deep").mkdir(parents=True)
    rng = np.random.default_rng(4)
    for name in ("one.png", "deep/two.jpg"):
        Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(photos / name)
    weights = "all/resnet18-f0-s1.safetensors"
    with safe_open(directory / weights, framework="pt") as file:
        labels = json.loads(file.metadata()["labels"])
    call(["explain", weights, "--images", "photos", "--methods", "guided", "--labels", f"{labels[2]},{labels[0]}", "--out", "file"],
         directory)
    overlays(directory / "file", {f"{image}-{labels[place]}-guided.png" for image in ("one", "deep_two") for place in (0, 2)}, 16)
    expect("no images" in call(["explain", weights, "--out", "none"], directory, code=2), "a file without images was accepted")
    text = call(["explain", weights, "--images", "photos", "--methods", "gradcamm", "--out", "none"], directory, code=2)
    expect("unknown method 'gradcamm'" in text and "'gradcam'" in text, text)


def mistakes_are_named(directory):
    recipe = write_recipe(directory, stages=[dict(STAGES[0], freeze=["layer9"])], backbones=[{"name": "resnet18"}])
    text = call(["run", recipe, "--run-dir", "mistaken"], directory, ranks=1, code=3)
    expect("'layer9' matches no" in text and "layer1" in text, text)


def synchronised_statistics_do_not_depend_on_ranks(directory):
    recipe = write_recipe(directory, backbones=[{"name": "resnet18", "dropout": 0.2, "batch_norm": "sync"}],
                          training__logical_shards=3)
    call(["run", recipe, "--run-dir", "sync-1"], directory, ranks=1)
    reference = result_digests(directory / "sync-1")
    call(["run", recipe, "--run-dir", "sync-3"], directory, ranks=3)
    expect(result_digests(directory / "sync-3") == reference, "batch_norm: sync gives other bytes on 3 ranks than on 1")


def test(directory):
    make_dataset(directory)
    make_dataset(directory, "test", samples=60, seed=1)
    frozen_parts_stay(directory, start_weights(directory))
    networks_are_explained(directory)
    mistakes_are_named(directory)
    synchronised_statistics_do_not_depend_on_ranks(directory)


main(test)
