"""Every command of docs/stacking.md and docs/analysis.md as it stands there, on drawn skies and networks of seconds."""

import csv
import gzip
import json
import shutil

import numpy as np
from PIL import Image

from harness import call, expect, main, shell
from guides import blocks

SKIES = ["clear", "cloudy", "haze", "partly_cloudy"]
LABELS = [*SKIES, "road"]
SIZE = 16


def draw(folder, ids, rng):
    """Pictures whose brightness is the sky, some with a road across; their tags by id."""
    folder.mkdir()
    tags = {}
    for i, name in enumerate(ids):
        sky, road = i % 4, rng.random() < 0.5
        pixels = rng.integers(0, 50, (SIZE, SIZE, 3)) + 50 * sky
        if road:
            pixels[:, 6:10, 0] = 255
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{name}.png")
        tags[name] = [SKIES[sky], *(["road"] if road else [])]
    return tags


def write_rows(file, head, rows):
    file.parent.mkdir(exist_ok=True)
    text = head + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())


def probabilities(tags, rng):
    truth = np.array([[label in words for label in LABELS] for words in tags.values()], float)
    return 0.5 * truth + 0.5 * rng.random(truth.shape)


def tables(directory, tags, test_tags, rng):
    """What other people's tools have left, under the names that the guides use."""
    head = ",".join(LABELS)
    write_rows(directory / "labels.csv", "id,tags", [(i, " ".join(words)) for i, words in tags.items()])
    write_rows(directory / "folds.csv", "id,fold", [(i, n % 3) for n, i in enumerate(tags)])
    for name in ("a", "b"):
        for folder, known in (("oof", tags), ("test", test_tags)):
            write_rows(directory / folder / f"{name}.csv", f"id,{head}",
                       [(i, *row.round(4)) for i, row in zip(known, probabilities(known, rng))])
    for n in range(3):
        keep = [(i, " ".join(w for w in words if rng.random() < 0.8)) for i, words in tags.items()]
        write_rows(directory / "submissions" / f"s{n}.csv.gz", "image_name,tags", keep)
        write_rows(directory / "probabilities" / f"p{n}.csv", f"id,{head}",
                   [(i, *row.round(4)) for i, row in zip(tags, probabilities(tags, rng))])
    for name in ("a", "b"):
        write_rows(directory / f"{name}.csv", "Image,Id", [(i, " ".join(rng.permutation(LABELS))) for i in tags])
    for name in ("standard", "bootstrap"):
        write_rows(directory / f"{name}.csv", f"id,{head}",
                   [(i, *row.round(4)) for i, row in zip(tags, probabilities(tags, rng))])


def logits_of_another_tool(directory, tags, test_tags, rng):
    for folder, known in (("oof", tags), ("test", test_tags)):
        p = probabilities(known, rng).clip(0.01, 0.99)
        write_rows(directory / folder / "other-tool.csv", "id," + ",".join(LABELS),
                   [(i, *row.round(4)) for i, row in zip(known, np.log(p / (1 - p)))])


def runs(directory):
    """The runs of the guides: of the drawn pictures, with networks of two epochs."""
    for name in ("train", "unseen"):
        (directory / f"{name}.yaml").write_text(
            f"output: packed-{name}\nsource: csv_tags\nimages: {name}\nlabels_file: {name}.csv\nimage_column: id\n"
            f"label_column: tags\nextension: .png\nfit: squash\nsize_px: {SIZE}\nlabels: [{', '.join(LABELS)}]\n")
        call(["pack", f"{name}.yaml"], directory)
    recipe = {"name": "planet", "dataset": "packed-train", "test": "packed-unseen", "folds": {"count": 3},
              "backbones": [{"name": "resnet18"}, {"name": "conv4"}],
              "stages": [{"size_px": SIZE, "epochs": 2, "batch": 24, "optimizer": {"kind": "adam", "lr": 0.002}}],
              "loss": {"kind": "bce"}, "images": {"normalise": {"kind": "half"}}, "stacking": {"nested": True}}
    (directory / "planet.yaml").write_text(json.dumps(recipe))
    for name, seed in (("planet", 1), ("planet-dehazed", 2)):
        call(["run", "planet.yaml", "--set", f"seed={seed}", "--run-dir", f"runs/{name}"], directory)
    call(["export", "runs/planet", "--chain", "resnet18-f0-s1", "--output", "resnet18-f0-s1.safetensors"], directory)
    shutil.copytree(directory / "unseen", directory / "photos")


def follow(guide, directory):
    """Runs the blocks of a guide in their order; returns what each printed. Every block of commands must have a name."""
    printed = {}
    for block in blocks(guide):
        if block.file_name():
            (directory / block.file_name()).write_text(block.text)
            continue
        expect(block.name, f"docs/{guide}: nothing says that this block is tested: {block.text}")
        line = "\n".join(block.commands()).replace("mpirun -n 2", "mpirun -n 2 --oversubscribe --bind-to none")
        printed[block.name] = shell("set -e\n" + line, directory)
    return printed


def test(directory):
    rng = np.random.default_rng(12)
    tags = draw(directory / "train", [f"chip_{i}" for i in range(72)], rng)
    test_tags = draw(directory / "unseen", [f"new_{i}" for i in range(16)], rng)
    for name, known in (("train", tags), ("unseen", test_tags)):
        write_rows(directory / f"{name}.csv", "id,tags", [(i, " ".join(words)) for i, words in known.items()])
    tables(directory, tags, test_tags, rng)
    runs(directory)

    printed = follow("stacking.md", directory)
    expect("best single model" in printed["stack"], printed["stack"])
    expect(all((directory / "stack" / name).exists() for name in ("scores.json", "stack.html", "stack.json", "submission.csv")),
           "the stack is not complete")
    with open(directory / "voted/submission.csv", newline="") as file:
        expect(len(list(csv.DictReader(file))) == len(tags), "the vote lacks rows")
    expect("written" in printed["submissions"], printed["submissions"])

    logits_of_another_tool(directory, tags, test_tags, rng)
    text = shell("baleen stack stack.yaml", directory)
    expect("other" in text and "resnet18" in text, text)
    for row in csv.DictReader(open(directory / "stack/submission.csv", newline="")):
        expect(len(set(SKIES) & set(row["tags"].split())) == 1, f"not one sky: {row}")

    (directory / "oof/other-tool.csv").unlink()  # logits, which oof/*.csv would take for probabilities
    printed = follow("analysis.md", directory)
    for file in ("analysis/analysis.html", "analysis/analysis.json", "compare.html", "halves/retrained.json", "explain/explain.html",
                 "explain/sheet.png"):
        expect((directory / file).stat().st_size > 0, f"{file} is empty")
    expect("planet-dehazed" in printed["analyze"] and "what differs in the plans" in printed["analyze"], printed["analyze"])
    answer = json.loads((directory / "halves/retrained.json").read_text())
    expect((answer["trainings"], answer["parts"]) == (3, 6), f"{answer['trainings']} trainings, {answer['parts']} parts")


main(test)
