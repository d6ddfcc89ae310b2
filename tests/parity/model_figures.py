"""Published parameters, 10^9 multiply-adds and smallest sizes of torchvision's networks, from the metadata of its weights.

The case names networks; the answer holds [parameters, multiply-adds / 10^9, smallest side or 0] for those that torchvision has.
"""

import torch
import torchvision
from exchange import answer_all


def answer(tensors, settings):
    answers = {}
    for name in settings["names"]:
        try:
            meta = torchvision.models.get_model_weights(name).DEFAULT.meta
        except ValueError:
            continue
        answers[name] = torch.tensor([meta["num_params"], meta["_ops"], meta["min_size"][0]], dtype=torch.float64)
    return answers


answer_all(answer)
