"""`baleen stack` on other people's tables: the numbers of scikit-learn, order of rows without effect, faults by file and row."""

import collections
import csv
import gzip
import json
import os
import pathlib
import random
import subprocess
import sys

from harness import call, expect, main

DATA = pathlib.Path(os.environ.get("BALEEN_DATA", ""))


def equals_scikit_learn(directory):
    planet = DATA / "planet"
    tables = sorted((planet / "oof_reference").glob("*.csv"))
    text = call(["stack", *tables, "--labels", planet / "labels.csv", "--out", "out"], directory)
    print(text)
    expect("The second stage does not beat the best single model, resnet18" in text, text)
    script = pathlib.Path(os.environ["BALEEN_SOURCE"]) / "tests/parity/stack_planet_full.py"
    subprocess.run([sys.executable, script, directory / "oracle.json", planet], check=True)
    oracle = json.loads((directory / "oracle.json").read_text())
    scores = json.loads((directory / "out/scores.json").read_text())
    ours = {c["name"]: c for c in scores["candidates"]}
    for name, theirs in oracle["candidates"].items():
        for key, mine in (("score", ours[name]["score"]["value"]), ("at_start", ours[name].get("score_at_start")),
                          ("auc", ours[name]["auc"]), ("log_loss", ours[name]["log_loss"])):
            if key in theirs:
                expect(abs(mine - theirs[key]) < 1e-10, f"{name}, {key}: {mine} instead of {theirs[key]}")
    with open(directory / "out/oof.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    expect([row["id"] for row in rows] == oracle["ids"], "other ids")
    worst = max(abs(float(row[label]) - value) for row, line in zip(rows, oracle["stacked"])
                for label, value in zip(oracle["labels"], line))
    print(f"largest difference of a stacked score: {worst:.1e}")
    expect(worst < 1e-10, f"stacked scores differ by {worst}")
    # Rows in another order, of one table only: the same bytes.
    lines = tables[1].read_text().splitlines()
    rest = lines[1:]
    random.Random(0).shuffle(rest)
    (directory / tables[1].name).write_text("\n".join(lines[:1] + rest) + "\n")
    call(["stack", tables[0], directory / tables[1].name, tables[2], "--labels", planet / "labels.csv", "--out", "shuffled"],
         directory)
    expect((directory / "out/oof.csv").read_bytes() == (directory / "shuffled/oof.csv").read_bytes(), "rows matter")
    # Ranks that share the rows: the same bytes.
    for ranks in (2, 4):
        call(["stack", *tables, "--labels", planet / "labels.csv", "--out", f"ranks{ranks}"], directory, ranks=ranks)
        for name in ("oof.csv", "stack.json", "scores.json"):
            expect((directory / "out" / name).read_bytes() == (directory / f"ranks{ranks}" / name).read_bytes(),
                   f"{name} on {ranks} ranks has other bytes")
    faults(directory, tables, planet, lines)
    text = call(["stack", tables[0], directory / "nan.csv", "--labels", planet / "labels.csv", "--out", "bad"], directory,
                ranks=2, code=4)
    expect("nan.csv" in text and "line 10" in text, text)


def faults(directory, tables, planet, lines):
    cells = lines[9].split(",")
    spoilt = {
        "missing": (lines[:5] + lines[6:], lines[5].split(",")[0]),
        "repeated": (lines + [lines[3]], "line 4"),
        "unknown": (lines + ["nobody," + lines[3].split(",", 1)[1]], f"line {len(lines) + 1}"),
        "nan": (lines[:9] + [",".join(cells[:4] + ["nan"] + cells[5:])] + lines[10:], "line 10"),
        "word": (lines[:9] + [",".join(cells[:4] + ["high"] + cells[5:])] + lines[10:], "line 10"),
        "column": ([lines[0].replace("haze", "hazy")] + lines[1:], "hazy"),
        "fold": (lines[:9] + [",".join([cells[0], str((int(cells[1]) + 1) % 3)] + cells[2:])] + lines[10:], "line 10"),
    }
    for name, (content, named) in spoilt.items():
        file = directory / f"{name}.csv"
        file.write_text("\n".join(content) + "\n")
        text = call(["stack", tables[0], file, "--labels", planet / "labels.csv", "--out", "bad"], directory, code=4)
        expect(f"{name}.csv" in text and named in text, f"{name}: {text}")


def voted(files, least):
    """Tags by id that so large a share of the files has; files with hardly two different answers have no vote."""
    kept = []
    for file in files:
        with gzip.open(file, "rt", newline="") as table:
            rows = {row["image_name"]: set(row["tags"].split()) for row in csv.DictReader(table)}
        if len({tuple(sorted(tags)) for tags in rows.values()}) > 2:
            kept.append(rows)
    tags = {i: collections.Counter(tag for rows in kept for tag in rows[i]) for i in kept[0]}
    return {i: {tag for tag, count in counts.items() if count / len(kept) >= least - 1e-12} for i, counts in tags.items()}


def submission_faults(directory):
    """What is wrong with a file of tags, of lists, or of numbers is said with file and row."""
    good = ["id,tags", *(f"t{i},{('clear primary', 'haze water', 'clear road')[i % 3]}" for i in range(60))]
    numbers = ["id,p", *(f"t{i},0.{i + 1}" for i in range(60))]
    (directory / "good.csv").write_text("\n".join(good) + "\n")
    (directory / "numbers.csv").write_text("\n".join(numbers) + "\n")
    spoilt = {
        "missing": (good[:9] + good[10:], "good.csv", "t8"),
        "repeated": (good + [good[3]], "good.csv", "line 62"),
        "unknown": (good + ["nobody,clear"], "good.csv", "nobody"),
        "short": (good[:9] + ["t8"] + good[10:], "good.csv", "short.csv:10"),
        "nan": (numbers[:9] + ["t8,nan"] + numbers[10:], "numbers.csv", "line 10"),
        "empty": (numbers[:9] + ["t8,"] + numbers[10:], "numbers.csv", "line 10"),
        "renamed": (["id,q"] + numbers[1:], "numbers.csv", "q"),
        "lacking": (numbers[:9] + numbers[10:], "numbers.csv", "t8"),
    }
    for name, (content, other, named) in spoilt.items():
        (directory / f"{name}.csv").write_text("\n".join(content) + "\n")
        text = call(["stack", other, f"{name}.csv", "--out", "bad"], directory, code=4)
        expect(f"{name}.csv" in text and named in text, f"{name}: {text}")


def form_of_submissions(directory):
    """The headings that a competition wants, decisions or one label's probabilities; a wrong label is named."""
    planet = DATA / "planet"
    tables = sorted((planet / "oof_reference").glob("*.csv"))
    line = ["stack", *tables, "--labels", planet / "labels.csv", "--test", *tables, "--submit", "mean", "--out", "form"]

    def rows(name):
        with open(directory / "form" / name, newline="") as file:
            return list(csv.DictReader(file))

    call([*line, "--set", "submission.id=image_name"], directory)
    expect(list(rows("submission.csv")[0]) == ["image_name", "tags"], "headings of decisions")
    call([*line, "--set", "submission={id: name, column: p, probability_of: haze}"], directory)
    submitted, scores = rows("submission.csv"), rows("test.csv")
    expect(list(submitted[0]) == ["name", "p"], f"headings of probabilities: {list(submitted[0])}")
    expect([(row["name"], row["p"]) for row in submitted] == [(row["id"], row["haze"]) for row in scores], "other numbers")
    skies = {"clear", "cloudy", "haze", "partly_cloudy"}
    line[line.index("mean")] = "vote"
    call([*line, "--set", f"thresholds.exclusive=[[{', '.join(sorted(skies))}]]", "--set", "vote=0.6"], directory)
    counts = collections.Counter(len(skies & set(row["tags"].split())) for row in rows("submission.csv"))
    expect(list(counts) == [1], f"a vote for several skies or none: {counts}")
    text = call([*line, "--set", "submission.probability_of=hazy"], directory, code=3)
    expect("there is no label 'hazy'" in text and "'haze'" in text, text)


def forgotten_labels(directory):
    """Out-of-fold predictions are no submissions, and what is for them is not passed over where there are no labels."""
    tables = sorted((DATA / "planet/oof_reference").glob("*.csv"))
    text = call(["stack", *tables, "--out", "forgotten"], directory, code=4)
    expect("densenet121.csv has folds" in text and "--labels" in text, text)
    numbers = sorted((DATA / "invasive/test_probabilities").glob("*.csv"))
    for option, key in ((["--submit", "mean"], "submit"), (["--set", "submission.id=Name"], "submission.id"),
                        (["--folds", tables[0]], "folds_from"), (["--test", *numbers], "inputs[].test")):
        text = call(["stack", *numbers, *option, "--out", "forgotten"], directory, code=3)
        expect(key in text and "--labels" in text, text)
    expect(not (directory / "forgotten").exists(), "something was written")


def submissions(directory):
    text = call(["stack", *sorted((DATA / "planet/submissions").glob("*.gz")), "--out", "tags"], directory)
    expect("pred_NIRnormal" in text and "degenerate" in text, text)
    files = sorted((DATA / "planet/submissions").glob("*.gz"))
    call(["stack", *files, "--set", "vote=0.42", "--out", "tags42"], directory)
    for folder, least in (("tags", 0.5), ("tags42", 0.42)):
        with open(directory / folder / "submission.csv", newline="") as table:
            ours = {row["image_name"]: set(row["tags"].split()) for row in csv.DictReader(table)}
        expect(len(ours) == 61191 and ours == voted(files, least), f"the vote at {least} differs")
    text = call(["stack", *sorted((DATA / "whale").glob("mapat5*.csv")), "--as", "lists", "--public-scores", ".883,.912",
                 "--out", "lists"], directory)
    expect("repeat a label" in text, text)
    with open(directory / "lists/submission.csv", newline="") as file:
        lists = [row["Id"].split() for row in csv.DictReader(file)]
    expect(len(lists) == 7960 and all(len(set(row)) == len(row) <= 5 for row in lists), "lists repeat labels")
    text = call(["stack", *sorted((DATA / "invasive/test_probabilities").glob("*.csv")), "--out", "numbers"], directory)
    expect("vgg16 is degenerate" in text and "left out: vgg16" in text, text)
    with open(directory / "numbers/submission.csv", newline="") as file:
        ours = {row["name"]: float(row["invasive"]) for row in csv.DictReader(file)}
    theirs = {}
    for file in (DATA / "invasive/test_probabilities").glob("*.csv"):
        if file.stem != "vgg16":
            with open(file, newline="") as table:
                for row in csv.DictReader(table):
                    theirs.setdefault(row["name"], []).append(float(row["invasive"]))
    expect(all(abs(ours[i] - sum(p) / len(p)) < 1e-12 for i, p in theirs.items()), "means by id differ")


def test(directory):
    if not (DATA / "planet/oof_reference").is_dir():
        print(f"SKIPPED: there is no {DATA}/planet/oof_reference")
        sys.exit(77)
    equals_scikit_learn(directory)
    form_of_submissions(directory)
    forgotten_labels(directory)
    submissions(directory)
    submission_faults(directory)


main(test)
