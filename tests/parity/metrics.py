"""scikit-learn's metrics on given tables."""

import warnings

import torch
from exchange import answer_all
from sklearn import metrics


def answer(tensors, settings):
    truth, decided = tensors["truth"].numpy(), tensors["decided"].numpy()
    scores, classes, labels = tensors["scores"].numpy(), tensors["classes"].numpy(), truth.shape[1]
    answers = {}
    for zero in (0, 1):
        for average in ("samples", "macro", "micro"):
            answers[f"f2/{average}/{zero}"] = metrics.fbeta_score(truth, decided, beta=2, average=average, zero_division=zero)
        for name, score in (("precision", metrics.precision_score), ("recall", metrics.recall_score)):
            answers[f"{name}/{zero}"] = score(truth, decided, average=None, zero_division=zero)
        answers[f"f2/label/{zero}"] = metrics.fbeta_score(truth, decided, beta=2, average=None, zero_division=zero)
    answers["auc"] = [metrics.roc_auc_score(truth[:, l], scores[:, l]) if 0 < truth[:, l].sum() < len(truth) else float("nan")
                      for l in range(labels)]
    rows = scores / scores.sum(axis=1, keepdims=True)
    answers["class_log_loss"] = metrics.log_loss(classes, rows, labels=range(labels))
    answers["binary_log_loss"] = metrics.log_loss(truth.reshape(-1), scores.reshape(-1), labels=[0, 1])
    answers["accuracy"] = metrics.accuracy_score(classes, scores.argmax(axis=1))
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in answers.items()}


warnings.simplefilter("ignore")
answer_all(answer)
