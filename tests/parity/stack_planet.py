"""Two-level ridge stacking with scikit-learn on the reference predictions for Planet.

usage: stack_planet.py ANSWER PLANET_FOLDER; writes the stacked out-of-fold scores as JSON.
"""
import json
import sys

import planet_reference

answer, folder = sys.argv[1:3]
_, labels, models, folds, truth = planet_reference.read(folder, ("simplenet5m", "resnet18", "densenet121"))
_, stacked = planet_reference.two_levels(models, folds, truth)
with open(answer, "w") as file:
    json.dump({"labels": labels, "stacked": stacked.tolist()}, file)
