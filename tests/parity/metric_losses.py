"""Losses and miners of pytorch-metric-learning on given embeddings, with gradients."""

import math

import numpy as np
import pytorch_metric_learning.losses as losses
import pytorch_metric_learning.miners as miners
import torch
from exchange import answer_all
from pytorch_metric_learning.utils import loss_and_miner_utils as utils

torch.set_default_dtype(torch.float64)


def with_weights(loss, name, weights):
    """The library keeps one column per class, ours one row."""
    setattr(loss, name, torch.nn.Parameter(weights.t().clone()))
    return loss


def make_loss(kind, settings, tensors):
    dimension = tensors["embeddings"].shape[1]
    classes = settings.get("classes", 0)
    if kind == "margin":
        loss = losses.MarginLoss(margin=0.2, beta=1.2, learn_beta=True, num_classes=classes or None)
        loss.beta.data = tensors["beta"].clone()
        return loss
    if kind == "triplet":
        return losses.TripletMarginLoss(margin=settings["margin"], smooth_loss=settings["smooth"])
    if kind == "arcface":
        loss = losses.ArcFaceLoss(classes, dimension, margin=math.degrees(0.5), scale=64)
        return with_weights(loss, "W", tensors["weights"])
    if kind == "cosface":
        return with_weights(losses.CosFaceLoss(classes, dimension, margin=0.35, scale=64), "W", tensors["weights"])
    if kind == "soft_triple":
        loss = losses.SoftTripleLoss(classes, dimension, centers_per_class=settings["centres"], la=20, gamma=0.1,
                                     margin=0.01)
        return with_weights(loss, "fc", tensors["weights"])
    raise ValueError(kind)


def parameter_of(loss, kind):
    if kind == "margin":
        return loss.beta.grad
    name = {"arcface": "W", "cosface": "W", "soft_triple": "fc"}.get(kind)
    return getattr(loss, name).grad.t() if name else None


def loss_answer(tensors, settings):
    kind = settings["kind"]
    loss = make_loss(kind, settings, tensors)
    embeddings = tensors["embeddings"].requires_grad_()
    arguments = ()
    if "anchors" in tensors:
        arguments = ((tensors["anchors"], tensors["positives"], tensors["negatives"]),)
    value = loss(embeddings, tensors["labels"], *arguments)
    value.backward()
    answer = {"value": value.reshape(1), "gradient": embeddings.grad}
    if (gradient := parameter_of(loss, kind)) is not None:
        answer["parameter_gradient"] = gradient
    return answer


def memory_answer(tensors, settings):
    """Batch after batch through a cross-batch memory."""
    inner = losses.TripletMarginLoss(margin=settings["margin"], smooth_loss=True)
    memory = losses.CrossBatchMemory(inner, tensors["batches"].shape[2], memory_size=settings["memory"])
    values = [memory(batch, labels) for batch, labels in zip(tensors["batches"], tensors["labels"])]
    return {"values": torch.stack(values)}


def drawn_weights(embeddings, labels):
    """What the distance-weighted miner would draw its negatives by."""
    seen = {}

    def keep(labels, ref_labels=None, weights=None, **_):
        seen["weights"] = weights
        empty = torch.zeros(0, dtype=torch.long)
        return empty, empty, empty

    original = utils.get_random_triplet_indices
    utils.get_random_triplet_indices = keep
    try:
        miners.DistanceWeightedMiner()(embeddings, labels)
    finally:
        utils.get_random_triplet_indices = original
    return torch.nan_to_num(seen["weights"], nan=0.0)


def miner_answer(tensors, settings):
    embeddings, labels = tensors["embeddings"], tensors["labels"]
    hard = torch.stack(miners.BatchHardMiner()(embeddings, labels))
    miner = miners.TripletMarginMiner(margin=settings["band"], type_of_triplets="semihard")
    semi_hard = torch.stack(miner(embeddings, labels))
    every = torch.stack(utils.get_all_triplets_indices(labels))
    return {"hard": hard, "semi_hard": semi_hard, "all": every, "weights": drawn_weights(embeddings, labels)}


def answer(tensors, settings):
    np.random.seed(0)
    return {"loss": loss_answer, "memory": memory_answer, "miners": miner_answer}[settings["what"]](tensors, settings)


answer_all(answer)
