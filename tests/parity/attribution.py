"""Saliency, SmoothGrad, guided backpropagation and Grad-CAM of every network by captum, on weights drawn by the same rule.

Networks are torchvision's and timm's, else the rebuilds of this folder, written as functions or modules here; `last` marks
the map that Grad-CAM looks at. captum's GuidedBackprop overlooks ReLUs that are called as functions, so here the functions
themselves are replaced; where a network has ReLU modules alone, captum's own answer must be the same.
"""

import sys
from unittest import mock

import torch
import torchvision
from box_regressor import BoxRegressor
from exchange import answer_all
from inception_networks import REBUILT, Weights
from residual_networks import drawn
from torch import nn

# captum draws with matplotlib, which nobody asks for here.
for part in ("", ".axes", ".collections", ".colors", ".figure", ".image"):
    sys.modules.setdefault("matplotlib" + part, mock.MagicMock(__spec__=None))
for part in ("", ".axes_grid1"):
    sys.modules.setdefault("mpl_toolkits" + part, mock.MagicMock(__spec__=None))
from captum.attr import GuidedBackprop, LayerAttribution, LayerGradCam, Saliency  # noqa: E402

SIMPLENET = {"simplenet": (2, 2, 1, 2), "simplenet_small": (2, 1, 1, 1), "simplenet_cifar": (1, 1, 1, 1)}


class Published(nn.Module):
    """torchvision's or timm's network with a mark on its last map."""

    def __init__(self, name, outputs):
        super().__init__()
        self.last = nn.Identity()
        if name == "seresnext50_32x4d":
            import timm

            network = timm.create_model("legacy_seresnext50_32x4d", num_classes=outputs, drop_rate=0.0)
        elif name == "inception_v3":
            network = torchvision.models.inception_v3(num_classes=outputs, aux_logits=False, init_weights=False)
        else:
            network = getattr(torchvision.models, name)(num_classes=outputs)
        for module in network.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        self.network = network
        self.dense = name.startswith("densenet")
        if not self.dense:
            owner = network.Mixed_7c if name == "inception_v3" else network.layer4
            owner.register_forward_hook(lambda module, inputs, output: self.last(output))

    def weights(self):
        return self.network.state_dict()

    def load(self, values):
        self.network.load_state_dict(values, strict=True)

    def forward(self, x):
        if not self.dense:
            return self.network(x)
        # Grad-CAM looks behind the last ReLU, which is no module there.
        return self.network.classifier(self.last(nn.functional.relu(self.network.features(x))).mean((2, 3)))


class Own(nn.Module):
    """A module of this folder."""

    def __init__(self, module):
        super().__init__()
        self.last = module.last = nn.Identity()
        self.module = module

    def weights(self):
        return self.module.state_dict()

    def load(self, values):
        self.module.load_state_dict(values, strict=True)

    def forward(self, x):
        return self.module(x)


class Function(nn.Module):
    """A rebuild that is a function of a dictionary of weights."""

    def __init__(self, function):
        super().__init__()
        self.last, self.function, self.values = nn.Identity(), function, {}

    def weights(self):
        return {}

    def load(self, values):
        self.values = values

    def forward(self, x):
        w = Weights(self.values)
        w.mark = self.last
        return self.function(w, x)


class SimpleNet(nn.Module):
    """Hasanpour et al. 2016; "p" is a 2x2 max-pool, a pair is (channels, kernel)."""

    TABLE = [(64, 3)] + [(128, 3)] * 5 + ["p"] + [(256, 3)] * 3 + [(512, 3), "p", (2048, 1), (256, 1), (256, 3)]

    def __init__(self, num_outputs, strides):
        super().__init__()
        layers, channels, strides = [], 3, list(strides)
        for item in self.TABLE:
            if item == "p":
                layers += [nn.MaxPool2d(2), nn.Identity()]
                continue
            stride = strides.pop(0) if strides else 1
            layers += [nn.Conv2d(channels, item[0], item[1], stride=stride, padding=1), nn.BatchNorm2d(item[0]), nn.ReLU(),
                       nn.Identity()]
            channels = item[0]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_outputs)

    def forward(self, x):
        x = self.last(self.features(x))
        return self.classifier(nn.functional.adaptive_max_pool2d(x, 1).flatten(1))


class Conv4(nn.Module):
    """Vinyals et al. 2016, with 64, 64, 128 and 128 channels."""

    def __init__(self, num_outputs):
        super().__init__()
        self.blocks = nn.ModuleList()
        channels = 3
        for width in (64, 64, 128, 128):
            block = nn.Module()
            block.conv, block.norm = nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
            self.blocks.append(block)
            channels = width
        self.fc = nn.Linear(channels, num_outputs)

    def forward(self, x):
        for block in self.blocks:
            x = nn.functional.max_pool2d(nn.functional.relu(block.norm(block.conv(x))), 2)
        return self.fc(self.last(x).mean((2, 3)))


def network_of(name, outputs):
    if name in REBUILT:
        return Function(REBUILT[name])
    if name in SIMPLENET:
        return Own(SimpleNet(outputs, SIMPLENET[name]))
    if name == "conv4":
        return Own(Conv4(outputs))
    if name == "box_regressor":
        network = BoxRegressor(3)
        network.fc = nn.Linear(32, outputs)
        return Own(network)
    return Published(name, outputs)


class GuidedReLU(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x.clamp_min(0)

    @staticmethod
    def backward(context, gradient):
        (x,) = context.saved_tensors
        return gradient.clamp_min(0) * (x > 0)


def guided_relu(x, inplace=False):
    return GuidedReLU.apply(x)


def gradients(network, images, outputs):
    return [Saliency(network).attribute(images.clone().requires_grad_(True), target=o, abs=False) for o in outputs]


def magnitude(found):
    return torch.stack([g.abs().amax(1) for g in found], 1).detach()


def grad_cam(network, images, outputs):
    maps = []
    for output in outputs:
        cam = LayerGradCam(network, network.last).attribute(images, target=output, relu_attributions=True)
        maps.append(LayerAttribution.interpolate(cam, tuple(images.shape[2:]), "bilinear"))
    return torch.cat(maps, 1)


def guided(network, name, images, outputs):
    with mock.patch("torch.nn.functional.relu", guided_relu), mock.patch("torch.relu", guided_relu), \
            mock.patch("torch.Tensor.relu", guided_relu):
        answer = magnitude(gradients(network, images, outputs))
    if name.startswith(("resnet", "simplenet_")):
        theirs = magnitude([GuidedBackprop(network).attribute(images.clone().requires_grad_(True), target=o) for o in outputs])
        worst = (answer - theirs).abs().max() / theirs.max()
        assert worst < 1e-9, f"{name}: captum's guided backpropagation differs by {worst}"
    return answer


def answer(tensors, settings):
    name, outputs = settings["name"], settings["explained"]
    network = network_of(name, settings["num_outputs"])
    torch.manual_seed(settings["seed"])
    weights = {key: drawn(key, shape) for key, shape in settings["parameters"] + settings["buffers"]}
    counters = {key: value for key, value in network.weights().items() if key.endswith("num_batches_tracked")}
    network.load({key: value.double() for key, value in weights.items()} | counters)
    network = network.double().eval()
    images = tensors["images"]
    answers = {"saliency": magnitude(gradients(network, images, outputs)), "gradcam": grad_cam(network, images, outputs)}
    spread = images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True)
    noises = [tensors[key] for key in sorted(tensors) if key.startswith("noise/")]
    noisy = [gradients(network, images + settings["noise"] * spread * noise, outputs) for noise in noises]
    answers["smoothgrad"] = magnitude([torch.stack(of_output).mean(0) for of_output in zip(*noisy)])
    answers["guided"] = guided(network, name, images, outputs)
    return answers


if __name__ == "__main__":
    torch.set_num_threads(1)
    answer_all(answer)
