"""Hinton's distillation with PyTorch's losses: (1 - w) hard + w T² KL, summed over samples."""

import torch
import torch.nn.functional as F
from exchange import answer_all


def answer(tensors, settings):
    logits = tensors["logits"].clone().requires_grad_()
    t, w, teacher = settings["temperature"], settings["weight"], tensors["teacher"]
    if settings["kind"] == "classes":
        soft = F.kl_div(F.log_softmax(logits / t, 1), F.softmax(teacher / t, 1), reduction="sum")
        hard = F.cross_entropy(logits, tensors["classes"], reduction="sum")
    else:
        p = torch.sigmoid(teacher / t)
        entropy = -(p * p.log() + (1 - p) * (1 - p).log())
        soft = (F.binary_cross_entropy_with_logits(logits / t, p, reduction="none") - entropy).mean(1).sum()
        hard = F.binary_cross_entropy_with_logits(logits, tensors["labels"], reduction="none").mean(1).sum()
    value = (1 - w) * hard + w * t * t * soft
    value.backward()
    return {"value": value, "gradient": logits.grad}


answer_all(answer)
