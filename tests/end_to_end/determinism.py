"""The same recipe on 1, 2, 3 and 4 ranks gives the same bytes: out-of-fold predictions and final weights."""

from harness import call, expect, expect_same_results, journal, main, make_dataset, result_digests, write_recipe

# LibTorch's bfloat16 kernels want maps of more than a pixel (docs/determinism.md).
BF16_STAGES = [{"size_px": 20, "epochs": 1, "batch": 24, "optimizer": {"kind": "sgd", "lr": 0.02}},
               {"size_px": 28, "epochs": 1, "batch": 24, "optimizer": {"kind": "adamw", "lr": 0.0005}}]

# Name, changes to the recipe, ranks to compare with one rank.
SCENARIOS = [
    ("four shards, dropout, float32, groups that change between stages", {"training__regroup_gain_s": 0}, (2, 3, 4)),
    ("four shards, bfloat16, contiguous",
     {"training__precision": "bf16", "training__channels_last": False, "stages": BF16_STAGES,
      "backbones": [{"name": "resnet18", "dropout": 0.2}]}, (3,)),
    ("three shards, accumulation, clipping",
     {"training__logical_shards": 3, "training__accumulate": 2, "training__clip_norm": 1.0}, (3,)),
    ("one shard", {"training__logical_shards": 1}, (3,)),
]


def test(directory):
    make_dataset(directory)
    make_dataset(directory, "test", samples=60, seed=1)
    widest = 1
    for number, (name, changes, rank_counts) in enumerate(SCENARIOS):
        recipe = write_recipe(directory, **changes)
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
    expect(widest > 1, "no chain was ever trained by more than one rank")


main(test)
