"""scikit-learn's k-means (Lloyd) from given first centroids."""

import torch
from exchange import answer_all
from sklearn.cluster import KMeans


def answer(tensors, settings):
    first = tensors["first"].numpy()
    found = KMeans(len(first), init=first, n_init=1, max_iter=settings["iterations"], tol=0, algorithm="lloyd").fit(
        tensors["points"].numpy())
    return {"inertia": torch.tensor([found.inertia_], dtype=torch.float64), "centroids": torch.from_numpy(found.cluster_centers_),
            "clusters": torch.from_numpy(found.labels_).long()}


answer_all(answer)
