"""Learning rates of torch.optim.lr_scheduler, one per step (per epoch for plateaus)."""

import math

import torch
from exchange import answer_all
from torch.optim import lr_scheduler


def answer(tensors, settings):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=settings["lr"])
    schedulers = []
    if settings["warmup_steps"] > 0:
        schedulers.append(lr_scheduler.LinearLR(optimizer, start_factor=settings["warmup_start"], end_factor=1.0,
                                                total_iters=settings["warmup_steps"]))
    kind, arguments = settings["kind"], settings["arguments"]
    if kind == "ReduceLROnPlateau":
        plateau = lr_scheduler.ReduceLROnPlateau(optimizer, **arguments)
        rates = []
        for value in tensors["monitored"].tolist():
            rates.append(optimizer.param_groups[0]["lr"])
            plateau.step(value)
        return {"rates": torch.tensor(rates, dtype=torch.float64)}
    main = getattr(lr_scheduler, kind)(optimizer, **arguments) if kind else None
    rates = []
    for step in range(settings["num_steps"]):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
        if main and (not settings["per_epoch"] or (step + 1) % settings["steps_per_epoch"] == 0):
            main.step()
    assert all(math.isfinite(rate) for rate in rates)
    return {"rates": torch.tensor(rates, dtype=torch.float64)}


answer_all(answer)
