"""Every command of docs/competition.md, in its order, on real chips: a subset, so that it takes seconds.

Skipped where $BALEEN_DATA/planet is missing.
"""

import csv
import os
import pathlib
import shutil
import sys

from harness import expect, main, shell, typing_environment
from guides import blocks, commands_in

GUIDE = "competition.md"
CHIPS = 80
DATA = pathlib.Path(os.environ.get("BALEEN_DATA", "")) / "planet"
RECIPES = pathlib.Path(os.environ["BALEEN_SOURCE"]) / "experiments/recipes"


def few_chips(directory):
    """The folder that the guide calls $BALEEN_DATA: the first chips, with their rows of each table."""
    planet = directory / "data/planet"
    (planet / "train").mkdir(parents=True)
    with open(DATA / "labels.csv", newline="") as file:
        kept = [row["image_name"] for row in csv.DictReader(file)][:CHIPS]
    for name in kept:
        (planet / "train" / f"{name}.jpg").symlink_to(DATA / "train" / f"{name}.jpg")
    (planet / "oof_reference").mkdir()
    for table in ["labels.csv", *(f"oof_reference/{file.name}" for file in (DATA / "oof_reference").glob("*.csv"))]:
        lines = (DATA / table).read_text().splitlines()
        chosen = [line for line in lines[1:] if line.split(",")[0] in kept]
        (planet / table).write_text("\n".join([lines[0], *chosen]) + "\n")
    (planet / "submissions").symlink_to(DATA / "submissions")
    return typing_environment(BALEEN_DATA=str(directory / "data"))


def test(directory):
    if not DATA.is_dir():
        print(f"SKIPPED: there is no {DATA}")
        sys.exit(77)
    environment = few_chips(directory)
    shutil.copytree(RECIPES, directory / "experiments/recipes")
    printed = {}
    for block in blocks(GUIDE):
        if block.language != "sh":
            continue
        expect(block.name, f"nothing says that this block is tested: {block.text}")
        for line in commands_in(GUIDE, block.name):
            line = line.replace("mpirun -n 2", "mpirun -n 2 --oversubscribe --bind-to none")
            printed[block.name] = printed.get(block.name, "") + shell(line, directory, env=environment)
    # What the guide promises.
    for file in ("chips.png", "batch.png", "runs/planet-small/report.html", "analysis/analysis.html", "explain/explain.html",
                 "stack/scores.json", "one-sky/submission.csv", "others/oof.csv", "final/submission.csv", "voted/submission.csv"):
        expect((directory / file).stat().st_size > 0, f"{file} is empty")
    [heading] = [block.text for block in blocks(GUIDE) if block.text.startswith("image_name,")]
    with open(directory / "final/submission.csv", newline="") as file:
        expect(file.readline() == heading, "the submission has other headings")
    answers = list(csv.DictReader(open(directory / "final/submission.csv", newline="")))
    expect(abs(len(answers) - CHIPS / 5) <= 3, f"{len(answers)} answers")
    with open(DATA / "labels.csv", newline="") as file:
        tags = {row["image_name"]: set(row["tags"].split()) for row in csv.DictReader(file)}
    known = set().union(*tags.values())
    expect(all(set(row["tags"].split()) <= known and row["image_name"] in tags for row in answers), "strange answers")
    skies = {"clear", "cloudy", "haze", "partly_cloudy"}
    for row in csv.DictReader(open(directory / "one-sky/submission.csv", newline="")):
        expect(len(skies & set(row["tags"].split())) == 1, f"not one sky: {row}")
    expect("best single model" in printed["stack"], printed["stack"])
    expect(len(list((directory / "weights-planet").glob("*.safetensors"))) == 6, "not all weights were exported")


main(test)
