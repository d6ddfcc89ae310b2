"""The same recipe on 1, 2, 3 and 4 ranks gives the same bytes: out-of-fold predictions and final weights.

BALEEN_SLOW=1 takes all scenarios on all numbers of ranks; without, a share of both.
"""

import os

from harness import DEEP_NETWORKS, call, expect, expect_same_results, journal, main, make_dataset, result_digests, write_recipe

# LibTorch's bfloat16 kernels want maps of more than a pixel (docs/determinism.md).
BF16_STAGES = [{"size_px": 20, "epochs": 1, "batch": 24, "optimizer": {"kind": "sgd", "lr": 0.02}},
               {"size_px": 28, "epochs": 1, "batch": 24, "optimizer": {"kind": "adamw", "lr": 0.0005}}]

# Everything random at once, and predictions of several looks.
AUGMENT = {"d4": True, "random_crop": "resized", "zoom": 0.1, "affine": {"rotation_deg": 5, "shift": 0.05},
           "elastic": {"alpha": 0.5}, "blur": 0.3, "brightness": 0.2, "contrast": 0.2, "gamma": 0.2, "lighting": 0.1,
           "noise": 0.05, "cutout": {"size": 0.3}, "mixup": {"alpha": 0.3}}
LOOKS = {"chunk": 16, "tta": ["identity", "flip_vertical"], "tta_sizes_px": [12, 16], "tta_random_passes": 2,
         "tta_augment": {"affine": {"rotation_deg": 5}, "noise": 0.05}, "tta_fusion": "rank"}
AUGMENTED_STAGES = [{"size_px": 12, "epochs": 1, "batch": 24, "optimizer": {"kind": "sgd", "lr": 0.02}, "augment": AUGMENT}]

THOROUGH = os.environ.get("BALEEN_SLOW") == "1"

# Name, changes to the recipe, ranks to compare with one rank; first, those that are always compared.
SCENARIOS = [
    ("four shards, dropout, float32, groups that change between stages", {"training__regroup_gain_s": 0},
     (2, 3, 4) if THOROUGH else (4,)),
    ("three shards, accumulation, clipping",
     {"training__logical_shards": 3, "training__accumulate": 2, "training__clip_norm": 1.0}, (3,)),
    ("all augmentations, on the device, rank fusion",
     {"stages": AUGMENTED_STAGES, "prediction": LOOKS, "training__augment_on": "device",
      "training__loader_threads": 3, "backbones": [{"name": "simplenet_cifar"}]}, (4,)),
    ("four shards, bfloat16, contiguous",
     {"training__precision": "bf16", "training__channels_last": False, "stages": BF16_STAGES,
      "backbones": [{"name": "resnet18", "dropout": 0.2}]}, (3,)),
    ("one shard", {"training__logical_shards": 1}, (3,)),
]
NUM_ALWAYS = 3


def compared(directory):
    """Two runs on one page: of the same bytes nothing differs, of other plans the keys are named."""
    text = call(["report", "--compare", "run-0-on-1", "run-0-on-4"], directory)
    expect("the plans are the same" in text and "240 samples that both runs have" in text, text)
    expect("simplenet_cifar" in text and "+0.0000" in text and "-0.0" not in text, text)
    text = call(["report", "--compare", "run-0-on-1", "run-1-on-1", "--out", "pair.html"], directory)
    expect("what differs in the plans" in text and "logical_shards" in text, text)
    for file, other in (("compare.html", "run-0-on-4"), ("pair.html", "run-1-on-1")):
        page = (directory / file).read_text()
        for part in ("run-0-on-1", other, "resnet18", "simplenet_cifar", "stack", 'id="scores"', 'id="plans"'):
            expect(part in page, f"{file} lacks {part}")
    expect("logical_shards" in page, "the page does not say what differs")
    text = call(["report", "--compare", "run-0-on-1", "data"], directory, code=4)
    expect("data is no finished run" in text, text)


def test(directory):
    make_dataset(directory)
    make_dataset(directory, "test", samples=60, seed=1)
    widest = 1
    for number, (name, changes, rank_counts) in enumerate(SCENARIOS if THOROUGH else SCENARIOS[:NUM_ALWAYS]):
        # Checkpoints have tests of their own.
        recipe = write_recipe(directory, **{**DEEP_NETWORKS, "training__checkpoint_every_steps": 1000, **changes})
        reference_run = f"run-{number}-on-1"
        call(["run", recipe, "--run-dir", reference_run], directory, ranks=1)
        reference = result_digests(directory / reference_run)
        for ranks in rank_counts:
            run = f"run-{number}-on-{ranks}"
            call(["run", recipe, "--run-dir", run], directory, ranks=ranks)
            expect_same_results(directory / run, reference, f"{name}, on {ranks} ranks")
            assigned = [r["ranks"] for r in journal(directory / run) if r["type"] == "chain_assigned"]
            widest = max(widest, *map(len, assigned))
            changed = len(assigned) - len({r["chain"] for r in journal(directory / run) if r["type"] == "chain_assigned"})
            print(f"{name}: {ranks} ranks as one, groups of {sorted(set(map(len, assigned)))}, {changed} changed", flush=True)
    compared(directory)
    expect(widest > 1, "no chain was ever trained by more than one rank")


main(test)
