"""The networks of Baleen in PyTorch, as one writes them there: torchvision's and timm's, the others as plain modules."""

import torch
from torch import nn
from torch.nn import functional as F

TIMM = {"seresnext50_32x4d": "legacy_seresnext50_32x4d"}


def unit(channels, width, kernel, stride=1, padding=0, bias=False, activation=None, **norm):
    """Convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, padding, bias=bias), nn.BatchNorm2d(width, **norm), activation or nn.ReLU(inplace=True)
    )


class GlobalMaximum(nn.Module):
    def forward(self, x):
        return F.max_pool2d(x, x.shape[2:]).flatten(1)


def simplenet(num_classes):
    """Hasanpour et al. 2016, strides of the smaller ImageNet variant."""
    layers, channels = [], 3
    for i, (width, kernel) in enumerate([(64, 3)] + [(128, 3)] * 5 + [(256, 3)] * 3 + [(512, 3), (2048, 1), (256, 1), (256, 3)]):
        layers.append(unit(channels, width, kernel, (2, 2, 1, 2)[i] if i < 4 else 1, 1, bias=True, momentum=0.05))
        if i in (5, 9):
            layers.append(nn.MaxPool2d(2))
        channels = width
    return nn.Sequential(*layers, GlobalMaximum(), nn.Linear(channels, num_classes))


class InceptionBlock(nn.Module):
    def __init__(self, channels, one, three, double, pool, projection):
        super().__init__()
        stride = 1 if one else 2
        self.branches = nn.ModuleList([unit(channels, one, 1, bias=True)] if one else [])
        self.branches.append(nn.Sequential(unit(channels, three[0], 1, bias=True), unit(*three, 3, stride, 1, bias=True)))
        twice = [unit(*double, 3, 1, 1, bias=True), unit(double[1], double[1], 3, stride, 1, bias=True)]
        self.branches.append(nn.Sequential(unit(channels, double[0], 1, bias=True), *twice))
        if pool == "avg":
            pooling = nn.AvgPool2d(3, 1, 1, ceil_mode=True)
        else:
            pooling = nn.MaxPool2d(3, stride, 1 if one else 0, ceil_mode=True)
        self.branches.append(nn.Sequential(pooling, unit(channels, projection, 1, bias=True)) if projection else pooling)
        self.width = (one or channels) + three[1] + double[1] + (projection or 0)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


def bninception(num_classes):
    """Ioffe and Szegedy 2015."""
    layers = [unit(3, 64, 7, 2, 3, bias=True), nn.MaxPool2d(3, 2, ceil_mode=True)]
    layers += [unit(64, 64, 1, bias=True), unit(64, 192, 3, 1, 1, bias=True), nn.MaxPool2d(3, 2, ceil_mode=True)]
    channels = 192
    for block in (
        (64, (64, 64), (64, 96), "avg", 32), (64, (64, 96), (64, 96), "avg", 64), (None, (128, 160), (64, 96), "max", None),
        (224, (64, 96), (96, 128), "avg", 128), (192, (96, 128), (96, 128), "avg", 128), (160, (128, 160), (128, 160), "avg", 128),
        (96, (128, 192), (160, 192), "avg", 128), (None, (128, 192), (192, 256), "max", None),
        (352, (192, 320), (160, 224), "avg", 128), (352, (192, 320), (192, 224), "max", 128),
    ):  # fmt: skip
        layers.append(InceptionBlock(channels, *block))
        channels = layers[-1].width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


class SimpleNet64(nn.Module):
    """The starter network of the Planet competition."""

    def __init__(self, num_classes):
        super().__init__()

        def group(channels, width, kernels):
            widths = [channels] + [width] * len(kernels)
            return nn.Sequential(
                *(unit(a, b, k, 1, k // 2, activation=nn.PReLU(b)) for a, b, k in zip(widths, widths[1:], kernels))
            )

        plan = [3, 1, 1, 1, 3]
        self.early = nn.Sequential(group(3, 8, [1, 1, 1]), group(8, 32, plan), nn.MaxPool2d(2), group(32, 32, plan), nn.MaxPool2d(2))
        self.third = nn.Sequential(group(32, 64, plan), nn.MaxPool2d(2))
        self.fourth = nn.Sequential(group(64, 128, plan), nn.MaxPool2d(2))
        dense = [nn.Linear(192, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU()]
        dense += [nn.Linear(512, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU()]
        self.dense = nn.Sequential(*dense, nn.Linear(512, num_classes))

    def forward(self, x):
        third = self.third(self.early(x))
        return self.dense(torch.cat([third.mean((2, 3)), self.fourth(third).mean((2, 3))], 1))


def keras_norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Bottleneck(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.norm = keras_norm(channels)
        self.inner = nn.Sequential(
            nn.Conv2d(channels, width, 1), nn.ReLU(), keras_norm(width), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
            keras_norm(width), nn.Conv2d(width, channels, 1),
        )  # fmt: skip

    def forward(self, x):
        x = self.norm(x)
        return (x + self.inner(x)).relu()


def piotte(num_classes):
    """The siamese branch of the humpback competition."""
    layers = [nn.ZeroPad2d((3, 4, 3, 4)), nn.Conv2d(3, 64, 9, 2), nn.ReLU(), nn.MaxPool2d(2)]
    for _ in range(2):
        layers += [keras_norm(64), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()]
    channels = 64
    for stage, width in ((128, 64), (256, 64), (384, 96), (512, 128)):
        layers += [nn.MaxPool2d(2), keras_norm(channels), nn.Conv2d(channels, stage, 1), nn.ReLU()]
        layers += [Bottleneck(stage, width) for _ in range(4)]
        channels = stage
    return nn.Sequential(*layers, GlobalMaximum(), nn.Linear(channels, num_classes))


class GapNet(nn.Module):
    """GapNet-PL (ICLR 2019), without dropout, as Baleen's default is."""

    def __init__(self, num_classes):
        super().__init__()

        def conv(channels, width, stride=1):
            padding = nn.ZeroPad2d((0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
            return nn.Sequential(padding, nn.Conv2d(channels, width, 3, stride), nn.SELU(inplace=True))

        self.first = nn.Sequential(conv(3, 32, 2), nn.MaxPool2d(2))
        self.second = nn.Sequential(conv(32, 64, 2), *(conv(64, 64) for _ in range(3)), nn.MaxPool2d(2))
        self.third = nn.Sequential(conv(64, 128), conv(128, 128), conv(128, 128))
        self.dense = nn.Sequential(nn.Linear(224, 256), nn.SELU(), nn.Linear(256, 256), nn.SELU(), nn.Linear(256, num_classes))

    def forward(self, x):
        first = self.first(x)
        second = self.second(first)
        return self.dense(torch.cat([y.mean((2, 3)) for y in (first, second, self.third(second))], 1))


PLAIN = {"simplenet": simplenet, "simplenet64": SimpleNet64, "bninception": bninception, "piotte": piotte, "gapnet": GapNet}


def make(name, num_classes):
    """A network with fresh weights, as its package makes it by default; Inception-v3 without auxiliary head, as Baleen's default is."""
    if name in PLAIN:
        return PLAIN[name](num_classes)
    if name in TIMM:
        import timm

        return timm.create_model(TIMM[name], pretrained=False, num_classes=num_classes)
    import torchvision

    options = {"aux_logits": False, "init_weights": False} if name == "inception_v3" else {}
    return torchvision.models.get_model(name, weights=None, num_classes=num_classes, **options)
