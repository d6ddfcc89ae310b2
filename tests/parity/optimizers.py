"""Ten steps of torch.optim on given gradients."""

import torch
from exchange import answer_all


def answer(tensors, settings):
    parameters = [torch.nn.Parameter(tensors[f"start/{i}"]) for i in range(settings["num_parameters"])]
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings["kind"]]
    optimizer = kind(parameters, **settings["arguments"])
    answers = {}
    for step in range(settings["num_steps"]):
        for i, parameter in enumerate(parameters):
            parameter.grad = tensors[f"gradient/{step}/{i}"].clone()
        if settings["clip"] > 0:
            norm = torch.nn.utils.clip_grad_norm_(parameters, settings["clip"])
            answers[f"norm/{step}"] = norm
        for group in optimizer.param_groups:
            group["lr"] = settings["rates"][step]
        optimizer.step()
    return answers | {f"end/{i}": parameter for i, parameter in enumerate(parameters)}


torch.set_num_threads(1)
answer_all(answer)
