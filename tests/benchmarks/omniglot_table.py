#!/usr/bin/env python3
"""The table of docs/re-identification.md: how well unseen characters of Omniglot are told apart, by loss, over seeds, and fused.

    python3 tests/benchmarks/omniglot_table.py --baleen build/release/bin/baleen --zip images_background_small1.zip --work omniglot

Trains fold 0 of experiments/recipes/omniglot.yaml (and omniglot-siamese.yaml) on one rank with one thread, once per model and
seed; a model that was trained into --work before is not trained again. Each drawing of the 66 held-out characters asks who else
is on it: recall@1 and mAP@5 over five distinct answers.
"""

import pathlib
import subprocess
import sys

from retrieval_table import RECIPES, SOURCE, measure, parser_for

# Recipe, and what is set in it.
MARGIN = RECIPES / "omniglot.yaml"
MODELS = {
    "margin": (MARGIN, []),
    "margin, D&C of 2": (MARGIN, ["metric.divide.learners=2", "metric.divide.every_epochs=2"]),
    "margin, D&C of 4": (MARGIN, ["metric.divide.learners=4", "metric.divide.every_epochs=2"]),
    "ArcFace": (MARGIN, ["metric.losses=[{kind: arcface}]"]),
    "siamese + LAP": (RECIPES / "omniglot-siamese.yaml", []),
}


def prepare(arguments):
    """Lists, packed drawings and recipes in the working folder."""
    work = arguments.work
    if (work / "packed/omniglot/manifest.json").exists():
        return
    (work / "recipes").mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, SOURCE / "launch/list_individuals.py", "omniglot", arguments.zip, work / "omniglot"], check=True)
    description = (RECIPES / "omniglot-data.yaml").read_text().replace("../../", "../")
    (work / "recipes/omniglot-data.yaml").write_text(description)
    subprocess.run([arguments.baleen, "pack", "recipes/omniglot-data.yaml"], cwd=work, check=True)


def main():
    parser = parser_for(__doc__, MODELS)
    parser.add_argument("--zip", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    arguments.baleen, arguments.zip, arguments.work = (p.resolve() for p in (arguments.baleen, arguments.zip, arguments.work))
    prepare(arguments)
    measure(arguments, MODELS, "conv4-f0-s{seed}")


if __name__ == "__main__":
    main()
