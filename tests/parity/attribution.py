"""Saliency, SmoothGrad, guided backpropagation and Grad-CAM by autograd and hooks in PyTorch, on given weights.

The maps are what captum's Saliency and LayerGradCam and pytorch-grad-cam compute; guided ReLUs replace the function that
all of torchvision's networks call, since hooks on nn.ReLU modules miss those that are called as functions.
"""

import torch
import torchvision
from exchange import answer_all
from torch import nn


class SimpleNet(nn.Module):
    """Hasanpour et al. 2016, for small images: no convolution has a stride."""

    TABLE = [(64, 3)] + [(128, 3)] * 5 + ["p"] + [(256, 3)] * 3 + [(512, 3), "p", (2048, 1), (256, 1), (256, 3)]

    def __init__(self, num_outputs):
        super().__init__()
        layers, channels = [], 3
        for item in self.TABLE:
            if item == "p":
                layers += [nn.MaxPool2d(2), nn.Identity()]
                continue
            layers += [nn.Conv2d(channels, item[0], item[1], padding=1), nn.BatchNorm2d(item[0]), nn.ReLU(), nn.Identity()]
            channels = item[0]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_outputs)

    def forward(self, x):
        return self.classifier(nn.functional.adaptive_max_pool2d(self.features(x), 1).flatten(1))


class GuidedReLU(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x.clamp_min(0)

    @staticmethod
    def backward(context, gradient):
        (x,) = context.saved_tensors
        return gradient.clamp_min(0) * (x > 0)


def build(settings):
    name, outputs = settings["name"], settings["num_outputs"]
    if name == "simplenet_cifar":
        network = SimpleNet(outputs)
        return network, network.features
    if name == "inception_v3":
        network = torchvision.models.inception_v3(num_classes=outputs, aux_logits=False, init_weights=False)
        return network, network.Mixed_7c
    network = getattr(torchvision.models, name)(num_classes=outputs)
    return network, network.layer4 if name.startswith("resnet") else network.features


def gradients(network, images, outputs):
    found = []
    for output in outputs:
        x = images.clone().requires_grad_(True)
        found.append(torch.autograd.grad(network(x)[:, output].sum(), x)[0])
    return found


def magnitude(found):
    return torch.stack([g.abs().amax(1) for g in found], 1)


def grad_cam(network, layer, images, outputs, is_dense):
    kept = []
    hook = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    maps = []
    for output in outputs:
        kept.clear()
        if is_dense:  # Grad-CAM looks at the map after the last ReLU, which is no module
            activation = torch.relu(network.features(images)).detach().requires_grad_(True)
            logits = network.classifier(activation.mean((2, 3)))
        else:
            logits = network(images.clone().requires_grad_(True))
            activation = kept[0]
        gradient = torch.autograd.grad(logits[:, output].sum(), activation)[0]
        cam = (gradient.mean((2, 3), keepdim=True) * activation).sum(1, keepdim=True).clamp_min(0)
        maps.append(nn.functional.interpolate(cam, images.shape[2:], mode="bilinear", align_corners=False))
    hook.remove()
    return torch.cat(maps, 1)


def answer(tensors, settings):
    network, layer = build(settings)
    network = network.double()
    network.load_state_dict({k.removeprefix("weight/"): v for k, v in tensors.items() if k.startswith("weight/")}, strict=True)
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    images, outputs = tensors["images"], settings["explained"]
    answers = {"saliency": magnitude(gradients(network, images, outputs))}
    answers["gradcam"] = grad_cam(network, layer, images, outputs, settings["name"].startswith("densenet"))
    spread = images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True)
    noises = [tensors[name] for name in sorted(tensors) if name.startswith("noise/")]
    noisy = [gradients(network, images + settings["noise"] * spread * noise, outputs) for noise in noises]
    answers["smoothgrad"] = magnitude([torch.stack(of_output).mean(0) for of_output in zip(*noisy)])
    plain = nn.functional.relu
    nn.functional.relu = lambda x, inplace=False: GuidedReLU.apply(x)
    try:
        answers["guided"] = magnitude(gradients(network, images, outputs))
    finally:
        nn.functional.relu = plain
    return answers


torch.set_num_threads(1)
answer_all(answer)
