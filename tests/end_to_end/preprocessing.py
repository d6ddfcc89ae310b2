"""Balanced classes and a dehazed variant, from the packer to the stack: copies train, originals count.

Skipped where $BALEEN_DATA/dandelion_grass is missing.
"""

import collections
import csv
import json
import os
import pathlib
import shutil
import sys

import h5py

from harness import call, expect, main


def strings(dataset):
    return [value.decode() for value in dataset[()]]


def pack_imbalanced(directory, data):
    """24 photographs of grass and 9 of dandelions, one of them twice; squares of 32 px."""
    for name, count in (("grass", 24), ("dandelion", 9)):
        (directory / "photos" / name).mkdir(parents=True)
        for photo in sorted((data / name).iterdir())[:count]:
            shutil.copy(photo, directory / "photos" / name)
    dandelions = sorted((directory / "photos/dandelion").iterdir())
    shutil.copy(dandelions[0], dandelions[0].with_name("again.jpg"))
    (directory / "photos.yaml").write_text(
        "output: photos.packed\nsource: folders\nimages: photos\nfit: crop\nsize_px: 32\nshrink: antialias\n"
        "balance: [flip_horizontal, rot90, rot180]\nduplicates: {group: true}\ndehaze: {store: variant, guided_radius_px: 8}\n"
    )
    text = call(["pack", "photos.yaml"], directory)
    expect("1 pictures occur more than once, in 2 images" in text, text)
    return dandelions[0].name


def check_dataset(directory, twice):
    manifest = json.loads((directory / "photos.packed/manifest.json").read_text())
    expect(manifest["label_counts"] == [24, 24], f"counts {manifest['label_counts']}")
    expect(manifest["copies"] == 14 and manifest["variants"] == ["dehazed"], "copies or variants are wrong")
    with h5py.File(directory / "photos.packed/shard-000.h5") as shard:
        ids, sources, groups = (strings(shard[name]) for name in ("ids", "copies_of", "groups"))
        expect(shard["images"].shape == shard["dehazed_images"].shape == (48, 32, 32, 3), "the variant has another shape")
        expect((shard["images"][()] != shard["dehazed_images"][()]).mean() > 0.5, "the variant is no other image")
    group = dict(zip(ids, groups))
    expect(group[f"dandelion/{twice}"] == group["dandelion/again.jpg"] != "", "the duplicates have no common group")
    for sample, source in zip(ids, sources):
        if source:
            expect(group[sample] == group[source] != "", f"{sample} left the group of {source}")
    report = call(["duplicates", "photos.packed", "--output", "twice.csv"], directory)
    rows = list(csv.DictReader((directory / "twice.csv").open()))
    expect({row["id"] for row in rows} == {f"dandelion/{twice}", "dandelion/again.jpg"}, report)
    call(["duplicates", "photos.packed", "photos.packed", "--output", "itself.csv"], directory)
    matches = {row["id"] for row in csv.DictReader((directory / "itself.csv").open())}
    expect(len(matches) == 34, f"{len(matches)} of 34 originals were found in their own dataset")
    return dict(zip(ids, sources)), group


def run_and_check(directory, source_of, group):
    originals = sorted(sample for sample, source in source_of.items() if not source)
    recipe = {
        "dataset": "photos.packed",
        "folds": {"count": 3},
        "backbones": [{"name": "conv4"}, {"name": "conv4", "variant": "dehazed"}],
        "stages": [{"size_px": 32, "epochs": 2, "batch": 10}],
        "loss": {"kind": "cross_entropy"},
    }
    (directory / "recipe.yaml").write_text(json.dumps(recipe))
    shutil.copytree(directory / "photos", directory / "others")
    (directory / "test.yaml").write_text(
        "output: photos.packed.test\nsource: images\nimages: others\nfit: crop\nsize_px: 32\n")
    call(["pack", "test.yaml"], directory)
    text = call(["plan", "recipe.yaml", "--set", "test=photos.packed.test"], directory, code=3)
    expect("no variant 'dehazed'" in text and "photos.packed.test" in text, text)
    call(["pack", "test.yaml", "--set", "dehaze.store=variant", "--overwrite"], directory)
    call(["plan", "recipe.yaml", "--set", "test=photos.packed.test"], directory)
    text = call(["plan", "recipe.yaml"], directory)
    expect("34 samples" in text and "14 copies for training" in text, text)
    expect("conv4-dehazed" in text, text)
    text = call(["plan", "recipe.yaml", "--set", "backbones.1.variant=hazy"], directory, code=3)
    expect("no variant 'hazy'" in text and "it has: dehazed" in text, text)
    call(["run", "recipe.yaml", "--run-dir", "run"], directory, ranks=2, timeout=600)
    with h5py.File(directory / "run/oof.h5") as oof:
        ids, models, folds = strings(oof["ids"]), strings(oof["models"]), oof["folds"][()]
        expect(sorted(ids) == originals, "the out-of-fold rows are not the originals")
        expect(models == ["conv4", "conv4-dehazed"], f"models {models}")
        expect(abs(oof["oof"][0] - oof["oof"][1]).max() > 1e-3, "both models saw the same images")
        counts = collections.Counter(zip(folds.tolist(), oof["targets"][()].tolist()))
    expect(max(counts.values()) == 8 and min(counts.values()) >= 3, f"folds {counts}")
    fold_of_group = {}
    for sample, fold in zip(ids, folds):
        if group[sample]:
            expect(fold_of_group.setdefault(group[sample], fold) == fold, f"{group[sample]} is split")
    call(["verify", "photos.packed"], directory)
    call(["verify", "run"], directory)


def explain_photographs(directory, source_of):
    """A photograph that never was packed is explained as the image of the dataset: without haze where the network was trained so."""
    sample = next(s for s in sorted(source_of) if not source_of[s] and s.startswith("grass/"))
    for chain in ("conv4-dehazed", "conv4"):
        chain = min(p.name for p in (directory / "run/chains").glob(f"{chain}-f0*"))
        pictures = []
        for name, images in (("packed", ["--ids", sample]), ("photograph", ["--images", directory / "photos" / sample])):
            call(["explain", "run", "--chain", chain, *images, "--labels", "grass", "--methods", "saliency",
                  "--out", f"explain-{name}-{chain}"], directory)
            pictures += [p.read_bytes() for p in (directory / f"explain-{name}-{chain}").glob("*-saliency.png")]
        # The packer's shrinking filter is kept with the haze removal; plain networks resize by their own.
        expect(len(pictures) == 2 and ("dehazed" not in chain or pictures[0] == pictures[1]), f"{chain}: other maps")


def test(directory):
    data = pathlib.Path(os.environ.get("BALEEN_DATA", "")) / "dandelion_grass"
    if not data.is_dir():
        print(f"SKIPPED: there is no {data}")
        sys.exit(77)
    twice = pack_imbalanced(directory, data)
    source_of, group = check_dataset(directory, twice)
    run_and_check(directory, source_of, group)
    explain_photographs(directory, source_of)


main(test)
