#!/usr/bin/env python3
"""The table of docs/re-identification.md: how well unseen characters of Omniglot are told apart, by loss, over seeds, and fused.

    python3 tests/benchmarks/omniglot_table.py --baleen build/release/bin/baleen --zip images_background_small1.zip --work omniglot

Trains fold 0 of experiments/recipes/omniglot.yaml (and omniglot-siamese.yaml) on one rank with one thread, once per model and
seed; a model that was trained into --work before is not trained again. Each drawing of the 66 held-out characters asks who else
is on it: recall@1 and mAP@5 over five distinct answers.
"""

import pathlib

from retrieval_table import RECIPES, measure, parser_for, prepare

# Recipe, and what is set in it.
MARGIN = RECIPES / "omniglot.yaml"
MODELS = {
    "margin": (MARGIN, []),
    "margin, D&C of 2": (MARGIN, ["metric.divide.learners=2", "metric.divide.every_epochs=2"]),
    "margin, D&C of 4": (MARGIN, ["metric.divide.learners=4", "metric.divide.every_epochs=2"]),
    "ArcFace": (MARGIN, ["metric.losses=[{kind: arcface}]"]),
    "siamese + LAP": (RECIPES / "omniglot-siamese.yaml", []),
}


def main():
    parser = parser_for(__doc__, MODELS)
    parser.add_argument("--zip", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    prepare(arguments, "omniglot", arguments.zip.resolve())
    measure(arguments, MODELS, "conv4-f0-s{seed}")


if __name__ == "__main__":
    main()
