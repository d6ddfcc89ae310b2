"""The recipes that come with Baleen: each is packed and planned with the commands of its own comments, on a few drawn images.

Usage: recipes.py CASE, one of the functions' names without "test_".
"""

import csv
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import cv2
import h5py
import numpy as np
import torch
from safetensors.torch import save_file

from harness import call, expect, main, write_idx

SOURCE = pathlib.Path(os.environ["BALEEN_SOURCE"])
RECIPES = SOURCE / "experiments/recipes"
TAGS = ["haze", "clear", "cloudy", "partly_cloudy", "primary", "water", "road", "agriculture", "cultivation", "habitation"]
RNG = np.random.default_rng(7)


def draw(file, width, height, colour=True):
    file.parent.mkdir(parents=True, exist_ok=True)
    image = RNG.integers(0, 256, (height, width, 3) if colour else (height, width), np.uint8)
    expect(cv2.imwrite(str(file), image), f"{file} can't be written")


def write_table(file, header, rows):
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "w", newline="") as table:
        csv.writer(table).writerows([header, *rows])


def draw_planet(directory, chips, side):
    """Chips with one sky each and some of the ground, under the names of the competition and of the smaller table."""
    rows = []
    for i in range(chips):
        draw(directory / f"planet/train-jpg/train_{i}.jpg", side, side)
        tags = [TAGS[i % 4], *(tag for t, tag in enumerate(TAGS[4:]) if (i >> t) & 1)]
        rows.append((f"train_{i}", " ".join(tags)))
    for i in range(4):
        draw(directory / f"planet/test-jpg/test_{i}.jpg", side, side)
    (directory / "planet/train").symlink_to("train-jpg")
    write_table(directory / "planet/train_v2.csv", ["image_name", "tags"], rows)
    write_table(directory / "planet/labels.csv", ["image_name", "tags"], rows)
    write_table(directory / "planet/folds.csv", ["image_name", "fold"], [(row[0], i % 3) for i, row in enumerate(rows)])


def draw_invasive(directory):
    for i in range(1, 31):
        draw(directory / f"invasive/train/{i}.jpg", 115, 87)
    for i in range(1, 5):
        draw(directory / f"invasive/test/{i}.jpg", 115, 87)
    write_table(directory / "invasive/train_labels.csv", ["name", "invasive"], [(i, int(i % 3 > 0)) for i in range(1, 31)])


def draw_individuals(directory, name, images, width, height, per_id=4, ids=30, colour=False):
    """As launch/list_individuals.py leaves them; folds hold out half of the individuals each."""
    rows = [(f"{i}-{n}.png", f"id{i}") for i in range(ids) for n in range(per_id)]
    for image, _ in rows:
        draw(directory / images / image, width, height, colour)
    write_table(directory / name / "labels.csv", ["image", "individual"], rows)
    write_table(directory / name / "folds.csv", ["id", "fold"], [(image, int(i[2:]) % 2) for image, i in rows])
    write_table(directory / name / "boxes.csv", ["Image", "x0", "y0", "x1", "y1"],
                [(image, 2, 2, width - 2, height - 2) for image, _ in rows])


def draw_fashion(directory):
    """Stand-ins for the four IDX files; their places are of Debian's package."""
    arguments = {}
    for part, count in (("train", 120), ("t10k", 20)):
        write_idx(directory / f"{part}-images", RNG.integers(0, 256, (count, 28, 28)))
        write_idx(directory / f"{part}-labels", np.arange(count) % 10)
        arguments[part] = ["--set", f"images={directory}/{part}-images", "--set", f"labels_file={directory}/{part}-labels"]
    return {"quickstart-data": arguments["train"], "quickstart-test-data": arguments["t10k"]}


def stand_in_weights(directory, recipe):
    """A file for each that the recipe names: planning takes its digest, training would refuse it."""
    for name in set(re.findall(r"weights/\w+\.safetensors", recipe.read_text())):
        (directory / name).parent.mkdir(exist_ok=True)
        save_file({"none": torch.zeros(1)}, directory / name)


def workplace(directory):
    """A folder in which the comments of all recipes can be followed."""
    shutil.copytree(RECIPES, directory / "experiments/recipes")
    draw_planet(directory, chips=180, side=96)
    draw_invasive(directory)
    draw_individuals(directory, "humpback", "humpback/images", 105, 60, ids=45)
    draw_individuals(directory, "lions", "lion", 40, 30, colour=True)
    draw_individuals(directory, "omniglot", "omniglot/images", 35, 35, ids=40)
    return draw_fashion(directory)


def check_last_step(directory, recipe):
    """What stacking and thresholds would refuse after all training is refused before it."""
    halves = ["plan", recipe, "--set", "folds.count=2", "--set", "stages.0.batch=64", "--set", "stages.1.batch=64"]
    mistake = call(halves, directory, code=3)
    expect("stacking.nested leaves two folds out of three or more" in mistake, mistake)
    call([*halves, "--set", "stacking.nested=false"], directory)
    mistake = call(["plan", recipe, "--set", "thresholds.exclusive=[[clear, clowdy]]"], directory, code=3)
    expect("there is no label 'clowdy'" in mistake and "cloudy" in mistake, mistake)
    call(["plan", recipe, "--set", "thresholds.exclusive=[[clear, cloudy]]"], directory)


def test_plans(directory):
    places = workplace(directory)
    smaller = ["--set", "size_px=96", "--set", "also_sizes_px=[64]"]  # than what the competitions have: planning reads no pixel
    places |= {name: smaller for name in ("planet-data", "planet-test-data")}
    places["humpback-dac-data"] = smaller[:2]
    names = sorted(file.stem for file in RECIPES.glob("*.yaml"))
    packs, recipes = [n for n in names if n.endswith("-data")], [n for n in names if not n.endswith("-data")]
    expect(len(recipes) >= 8 and len(packs) >= 10, f"only {names}")
    for name in packs:
        text = call(["pack", f"experiments/recipes/{name}.yaml", *places.get(name, [])], directory)
        print(f"{name}: {text.strip().splitlines()[-1]}", flush=True)
    for name in recipes:
        recipe = directory / f"experiments/recipes/{name}.yaml"
        stand_in_weights(directory, recipe)
        text = call(["plan", recipe.relative_to(directory), "--ranks", "4"], directory)
        chains = re.search(r"chains +(.*)", text)
        expect(chains, text)
        print(f"{name}: {chains[1]}", flush=True)
        expect(not (directory / "runs").exists(), "a plan has made a run directory")
        if name == "planet":
            expect("110 chains = 22 backbones x 5 folds" in text, text)
            check_last_step(directory, recipe.relative_to(directory))
        if name == "invasive":
            expect("10 chains = 2 backbones x 5 folds" in text, text)


def losses_by_stage(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {(line["chain"], line["stage"]): line["train_loss"] for line in lines}


def test_warm_up(directory):
    """A stage's own loss is the one that it minimises: bce in the first stage, to the bit, and another one behind it."""
    draw_planet(directory, chips=30, side=16)
    shutil.copytree(RECIPES, directory / "experiments/recipes")
    call(["pack", "experiments/recipes/planet-small-data.yaml", "--set", "size_px=16", "--set", "also_sizes_px=[]"], directory)
    stage = {"size_px": 16, "epochs": 1, "batch": 8}
    recipe = {"dataset": "packed/planet-small", "folds": {"count": 2}, "backbones": [{"name": "conv4"}],
              "images": {"normalise": {"kind": "half"}}}
    runs = {"bce": ({"kind": "bce"}, [stage, stage]),
            "soft": ({"kind": "soft_f2"}, [stage, stage]),
            "warm": ({"kind": "soft_f2"}, [{**stage, "loss": {"kind": "bce"}}, stage])}
    found = {}
    for name, (loss, stages) in runs.items():
        (directory / f"{name}.yaml").write_text(json.dumps({**recipe, "loss": loss, "stages": stages}))
        call(["run", f"{name}.yaml"], directory)
        found[name] = losses_by_stage(directory / "runs" / name)
    for chain, stage in found["bce"]:
        same = "bce" if stage == 0 else None
        for other in ("bce", "soft"):
            equal = found["warm"][chain, stage] == found[other][chain, stage]
            expect(equal == (other == same), f"{chain}, stage {stage}: {found}")
    mistake = call(["plan", "warm.yaml", "--set", "stages.0.loss.kind=bec"], directory, code=3)
    expect("there is no loss 'bec': did you mean 'bce'?" in mistake, mistake)
    mistake = call(["plan", "warm.yaml", "--set", "stages.0.loss.kind=cross_entropy"], directory, code=3)
    expect("cross_entropy" in mistake, mistake)


def test_planet_60min(directory):
    """The recipe of an hour starts, on a few chips and steps, and the tables of its results tell the truth."""
    draw_planet(directory, chips=60, side=48)
    shutil.copytree(RECIPES, directory / "experiments/recipes")
    call(["pack", "experiments/recipes/planet-60min-data.yaml", "--set", "size_px=48", "--set", "also_sizes_px=[32]"], directory)
    shrunk = ["stages.0.size_px=32", "stages.0.epochs=1", "stages.1.size_px=32", "stages.1.epochs=1"]
    for changes in (["snapshots={last: 2, at: stages, columns: true}"],
                    ["folds={count: 4, folds_from: ''}", "backbones=[{name: simplenet}]", "run_dir=runs/more"]):
        words = (part for change in shrunk + changes for part in ("--set", change))
        call(["run", "experiments/recipes/planet-60min.yaml", *words], directory, ranks=2)
    run = directory / "runs/planet-60min"
    with h5py.File(run / "oof.h5") as oof:
        models = [m.decode() for m in oof["models"][:]]
        folds = oof["folds"][:]
        ids = [int(i.decode().split("_")[1].split(".")[0]) for i in oof["ids"][:]]
    names = [n + s for n in ("densenet121", "resnet18", "simplenet") for s in ("", "-dehazed")]
    expect(sorted(models) == sorted(n + s for n in names for s in ("", "-snapshot1")), str(models))
    expect(all(fold == i % 3 for i, fold in zip(ids, folds)), "the folds are not those of the file")
    done = subprocess.run([sys.executable, SOURCE / "tests/benchmarks/planet_table.py", run, "--program", os.environ["BALEEN_BIN"],
                           "--samples", "200"], capture_output=True, text=True)
    print(done.stdout)
    expect(done.returncode == 0, done.stderr)
    for words in ("prevalences", "mean", "vote", "ridge level 1", "stack", "greedy", "blend", "Haze removal", "best single model"):
        expect(words in done.stdout, f"the table lacks '{words}'")
    done = subprocess.run([sys.executable, SOURCE / "tests/benchmarks/planet_variants.py", run, "--program", os.environ["BALEEN_BIN"],
                           "--pack", directory / "packed/planet-60min", "--more-folds", directory / "runs/more", "--samples", "200"],
                          capture_output=True, text=True)
    print(done.stdout)
    expect(done.returncode == 0, done.stderr)
    for words in ("simplenet-dehazed, eight views", "level 2, eight views", "densenet121, mean of both", "level 2 of all columns",
                  "3 folds against 4", "simplenet, 4 folds", "level 2 of these networks, 4 folds"):
        expect(words in done.stdout, f"the table lacks '{words}'")


main(globals()["test_" + sys.argv[1]])
