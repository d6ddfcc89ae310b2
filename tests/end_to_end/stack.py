"""`baleen stack` on other people's tables: the numbers of scikit-learn, order of rows without effect, faults by file and row."""

import collections
import csv
import gzip
import html
import json
import os
import pathlib
import random
import subprocess
import sys

import h5py
import numpy as np
from scipy.stats import rankdata

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


def table(directory, name):
    with open(directory / name, newline="") as file:
        return list(csv.DictReader(file))


def combined_numbers(directory):
    """Every way to combine submissions of numbers, with weights, and from HDF5: numpy's and scipy's figures."""
    rng = np.random.default_rng(8)
    p, weights, columns = rng.random((3, 40, 3)).round(2), np.array([2.0, 1.0, 0.5]), ["w_1", "w_2", "w_3"]
    ids = [f"t{i}" for i in range(40)]
    for m, one in enumerate(p):
        rows = [f"{i},{','.join(map(repr, map(float, row)))}\n" for i, row in zip(ids, one)]
        if m == 1:  # matched by id
            rows.reverse()
        (directory / f"n{m}.csv").write_text(f"id,{','.join(columns)}\n" + "".join(rows))
    files = [directory / f"n{m}.csv" for m in range(3)]
    ranks = np.stack([rankdata(one, axis=0) / 40 for one in p])
    mean = lambda values: np.tensordot(weights / weights.sum(), values, 1)  # noqa: E731
    expected = {"arithmetic": mean(p), "geometric": np.exp(mean(np.log(np.maximum(p, 1e-7)))), "rank": mean(ranks),
                "majority": (mean(p > 0.5) >= 0.5).astype(float)}
    for way, theirs in expected.items():
        call(["stack", *files, "--weights", "2,1,.5", "--set", f"combine={way}", "--out", way], directory)
        rows = table(directory, f"{way}/submission.csv")
        expect([row["id"] for row in rows] == ids and list(rows[0]) == ["id", *columns], f"{way}: other rows or columns")
        ours = np.array([[float(row[column]) for column in columns] for row in rows])
        expect(np.abs(ours - theirs).max() < 1e-12, f"{way} is off by {np.abs(ours - theirs).max()}")
    text = call(["stack", *files, "--weights", "2,1", "--out", "bad"], directory, code=2)
    expect("--weights gives 2 values for 3 inputs" in text, text)
    # The same numbers from a description, and from HDF5.
    with h5py.File(directory / "n0.h5", "w") as file:
        file["ids"], file["columns"], file["predictions"] = ids, columns, p[0]
    (directory / "mix.yaml").write_text("inputs:\n- {path: n0.h5, weight: 2}\n- {path: n1.csv}\n- {path: n2.csv, weight: 0.5}\n"
                                        "combine: geometric\noutput: described\n")
    call(["stack", "mix.yaml"], directory)
    ours, theirs = (table(directory, f"{way}/submission.csv") for way in ("described", "geometric"))
    worst = max(abs(float(a[column]) - float(b[column])) for a, b in zip(ours, theirs) for column in columns)
    expect(worst < 1e-12 and [row["id"] for row in ours] == ids, f"the description gives other numbers, by {worst}")
    text = call(["stack", "mix.yaml", "n1.csv"], directory, code=2)
    expect("a description and inputs exclude each other" in text, text)
    score_matrices(directory, ids, columns, p)


def score_matrices(directory, ids, columns, p):
    """0.45 and 0.55 of two score matrices, turned into lists with new_whale before the first label below the threshold."""
    call(["stack", "n0.csv", "n1.csv", "--as", "scores", "--weights", "0.45,0.55", "--set", "new_label=new_whale", "--set",
          "new_label_threshold=0.6", "--set", "list_length=3", "--out", "whales"], directory)
    blend = 0.45 * p[0] + 0.55 * p[1]
    firsts = collections.Counter()
    for row, scores in zip(table(directory, "whales/submission.csv"), blend):
        order = sorted(range(3), key=lambda c: -scores[c])
        names = [columns[c] for c in order]
        names.insert(sum(scores[c] >= 0.6 for c in order), "new_whale")
        expect(row["labels"].split() == names[:3], f"{row}: {names}, scores {scores}")
        firsts[names.index("new_whale")] += 1
    expect(len(firsts) >= 3, f"new_whale stands always at the same place: {firsts}")


def stacked_from_hdf5(directory):
    """A model of an HDF5 file counts as the CSV of the same numbers; distances become scores as they should."""
    rng = np.random.default_rng(9)
    truth = rng.integers(0, 3, 60)
    distances = 1.2 - 0.8 * (truth[:, None] == np.arange(3)) + 0.5 * rng.random((60, 3))
    other = rng.dirichlet(np.ones(3), 60)
    ids, columns = [f"s{i}" for i in range(60)], ["a", "b", "c"]
    (directory / "classes.csv").write_text("id,class\n" + "".join(f"s{i},{columns[c]}\n" for i, c in enumerate(truth)))
    for name, values in (("distances", distances), ("other", other)):
        with h5py.File(directory / f"{name}.h5", "w") as file:
            file["ids"], file["columns"], file["predictions"], file["folds"] = ids, columns, values, np.arange(60) % 3
        (directory / f"{name}.csv").write_text("id,fold,a,b,c\n" + "".join(
            f"s{i},{i % 3},{','.join(map(repr, map(float, row)))}\n" for i, row in enumerate(values)))
    for ending in ("h5", "csv"):
        call(["stack", f"distances.{ending}", f"other.{ending}", "--labels", "classes.csv", "--submit", "mean", "--set",
              "inputs.0.kind=distances_nested_log", "--out", f"from-{ending}"], directory)
    expect((directory / "from-h5/oof.csv").read_bytes() == (directory / "from-csv/oof.csv").read_bytes(), "HDF5 gives other scores")
    mapped = 1 / (1 + np.log1p(np.log1p(distances)))
    for row, theirs in zip(table(directory, "from-h5/oof.csv"), (mapped + other) / 2):
        expect(max(abs(float(row[c]) - v) for c, v in zip(columns, theirs)) < 1e-12, f"{row} instead of {theirs}")
    page = (directory / "from-h5/stack.html").read_text()
    said = json.loads((directory / "from-h5/scores.json").read_text())["conclusion"].splitlines()[0]
    expect(html.escape(said) in page and "ridge level 1" in page, "stack.html lacks the verdict")


def test(directory):
    combined_numbers(directory)
    stacked_from_hdf5(directory)
    if not (DATA / "planet/oof_reference").is_dir():
        print(f"SKIPPED: there is no {DATA}/planet/oof_reference")
        sys.exit(77)
    equals_scikit_learn(directory)
    form_of_submissions(directory)
    forgotten_labels(directory)
    submissions(directory)
    submission_faults(directory)


main(test)
