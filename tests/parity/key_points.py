"""Matching key points of two images by OpenCV: SIFT, RootSIFT, two nearest neighbours by brute force, homography by RANSAC."""

import cv2
import numpy as np
import torch
from exchange import answer_all


def root_sift(descriptors):
    return np.sqrt(descriptors / (descriptors.sum(1, keepdims=True) + 1e-7)).astype(np.float32)


def matches(a, b, settings):
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    good = [first for first, second in matcher.knnMatch(a, b, k=2) if first.distance < settings["ratio"] * second.distance]
    if settings["mutual"]:
        back = {match.queryIdx: match.trainIdx for match in matcher.match(b, a)}
        good = [match for match in good if back[match.trainIdx] == match.queryIdx]
    return good


def answer(tensors, settings):
    sift = cv2.SIFT_create()
    (points_a, a), (points_b, b) = (sift.detectAndCompute(tensors[name].numpy(), None) for name in "ab")
    good = matches(root_sift(a), root_sift(b), settings)
    from_points = np.float32([points_a[match.queryIdx].pt for match in good])
    to_points = np.float32([points_b[match.trainIdx].pt for match in good])
    _, inlier = cv2.findHomography(from_points, to_points, cv2.RANSAC, settings["tolerance"])
    numbers = {"points": len(points_a), "inliers": int(inlier.sum())}
    return {"descriptor_mean": torch.tensor(float(a.mean()))} | {name: torch.tensor(value) for name, value in numbers.items()}


answer_all(answer)
