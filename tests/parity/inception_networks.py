"""Forward and backward passes of Inception-v3 (torchvision) and of networks that neither torchvision nor timm has in this
form, rebuilt here from their published layer tables: BN-Inception, SimpleNet64_2, Piotte's siamese branch and its head with
Keras' numbers, GapNet-PL with TensorFlow's padding. The rebuilds are functions of a dictionary of weights; a weight that is
missing, of another shape or never used is an error. In float64 normalisation, PReLU and SELU are written out as formulas; in
float32 they are PyTorch's own operators, so that their roundings can be compared.
"""

import torch
import torch.nn.functional as F
import torchvision
from exchange import answer_all

MEAN, VARIANCE, COUNTER = "running_mean", "running_var", "num_batches_tracked"
BUFFERS = (MEAN, VARIANCE, COUNTER)


class Weights:
    """Weights by name, which remembers the order of first use; running statistics are replaced as a training pass moves them."""

    def __init__(self, tensors):
        self.values = {k: v.clone() for k, v in tensors.items()}
        for name, value in self.values.items():
            if not name.endswith(BUFFERS):
                value.requires_grad_(True)
        self.used = {}
        self.training = False
        self.mark = lambda last_map: last_map

    def __getitem__(self, name):
        self.used[name] = True
        return self.values[name]

    def convolution(self, x, name, stride=1, padding=0):
        bias = self[name + ".bias"] if name + ".bias" in self.values else None
        return F.conv2d(x, self[name + ".weight"], bias, stride, padding)

    def linear(self, x, name):
        return F.linear(x, self[name + ".weight"], self[name + ".bias"] if name + ".bias" in self.values else None)

    def prelu(self, x, name):
        slope = self[name + ".weight"]
        if x.dtype == torch.float32:
            return F.prelu(x, slope)
        return torch.where(x > 0, x, slope.view(1, -1, 1, 1) * x)

    def normalise(self, x, name, epsilon=1e-5, momentum=0.1):
        mean, variance = self[f"{name}.{MEAN}"], self[f"{name}.{VARIANCE}"]
        scale, shift = self[name + ".weight"], self[name + ".bias"]
        shape = (1, -1) + (1,) * (x.dim() - 2)
        if x.dtype == torch.float32:
            if self.training:
                self[f"{name}.{COUNTER}"].add_(1)
            return F.batch_norm(x, mean, variance, scale, shift, self.training, momentum, epsilon)
        if self.training:
            axes = [d for d in range(x.dim()) if d != 1]
            count = x.numel() // x.shape[1]
            running = (mean, variance)
            mean, variance = x.mean(axes), x.var(axes, unbiased=False)
            with torch.no_grad():
                self[f"{name}.{COUNTER}"].add_(1)
                running[0].mul_(1 - momentum).add_(momentum * mean)
                running[1].mul_(1 - momentum).add_(momentum * variance * count / (count - 1))
        x = (x - mean.view(shape)) / (variance.view(shape) + epsilon).sqrt()
        return x * scale.view(shape) + shift.view(shape)

    def check_all_used(self):
        left = set(self.values) - set(self.used)
        assert not left, f"never used: {sorted(left)[:5]}"


def average(x):
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


def same(x, kernel, stride, value=0.0):
    """TensorFlow's padding='SAME': out = ceil(in / stride), the odd pixel of padding at the end."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


# Channels: 1x1 | 1x1 before 3x3, 3x3 | 1x1 before two 3x3, those | projection of the pool; None: the map is halved.
BN_INCEPTION = {
    "3a": (64, (64, 64), (64, 96), ("avg", 32)), "3b": (64, (64, 96), (64, 96), ("avg", 64)),
    "3c": (None, (128, 160), (64, 96), ("max", None)), "4a": (224, (64, 96), (96, 128), ("avg", 128)),
    "4b": (192, (96, 128), (96, 128), ("avg", 128)), "4c": (160, (128, 160), (128, 160), ("avg", 128)),
    "4d": (96, (128, 192), (160, 192), ("avg", 128)), "4e": (None, (128, 192), (192, 256), ("max", None)),
    "5a": (352, (192, 320), (160, 224), ("avg", 128)), "5b": (352, (192, 320), (192, 224), ("max", 128)),
}


def bn_inception(w, x):
    def unit(x, name, channels, stride=1, padding=0):
        y = w.convolution(x, name, stride, padding)
        assert y.shape[1] == channels, (name, y.shape)
        return w.normalise(y, name + "_bn").relu()

    x = unit(x, "conv1_7x7_s2", 64, 2, 3)
    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    x = unit(unit(x, "conv2_3x3_reduce", 64), "conv2_3x3", 192, 1, 1)
    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    for block, (one, three, double, (pool, projection)) in BN_INCEPTION.items():
        name, stride = f"inception_{block}_", 1 if one else 2
        branches = [unit(x, name + "1x1", one)] if one else []
        y = unit(x, name + "3x3_reduce", three[0])
        branches.append(unit(y, name + "3x3", three[1], stride, 1))
        y = unit(x, name + "double_3x3_reduce", double[0])
        y = unit(y, name + "double_3x3_1", double[1], 1, 1)
        branches.append(unit(y, name + "double_3x3_2", double[1], stride, 1))
        if stride == 2:
            odd = (x.shape[2] % 2, x.shape[3] % 2)  # as many places as the strided convolutions make of odd sizes
            branches.append(F.max_pool2d(x, 3, 2, odd, ceil_mode=True))
        elif pool == "max":
            branches.append(unit(F.max_pool2d(x, 3, 1, 1, ceil_mode=True), name + "pool_proj", projection))
        else:
            pooled = F.avg_pool2d(x, 3, 1, 1, ceil_mode=True, count_include_pad=True)
            branches.append(unit(pooled, name + "pool_proj", projection))
        x = torch.cat(branches, 1)
    return w.linear(average(w.mark(x)), "last_linear")


def simplenet64(w, x):
    def group(x, layer, kernels):
        for i, kernel in enumerate(kernels):
            first = f"layer{layer}.{3 * i}"
            assert w[first + ".weight"].shape[2:] == (kernel, kernel), first
            x = w.normalise(w.convolution(x, first, 1, kernel // 2), f"layer{layer}.{3 * i + 1}")
            x = w.prelu(x, f"layer{layer}.{3 * i + 2}")
        return x

    x = group(x, 0, [1, 1, 1])
    for layer in (1, 2, 3, 4):
        x = F.max_pool2d(group(x, layer, [3, 1, 1, 1, 3]), 2)
        if layer == 3:
            a = average(x)
    x = torch.cat([a, average(w.mark(x))], 1)
    for i in (0, 3):
        x = w.normalise(w.linear(x, f"layer5.{i}"), f"layer5.{i + 1}").relu()
    return w.linear(x, "logit")


def piotte(w, x):
    def norm(x, name):
        return w.normalise(x, name, epsilon=1e-3, momentum=1 - 0.99)

    def block(x, name, width):
        x = norm(x, name + "norm1")
        y = w.convolution(x, name + "conv1").relu()
        assert y.shape[1] == width
        y = w.convolution(same(norm(y, name + "norm2"), 3, 1), name + "conv2").relu()
        return (x + w.convolution(norm(y, name + "norm3"), name + "conv3")).relu()

    x = w.convolution(same(x, 9, 2), "conv1", 2).relu()
    x = F.max_pool2d(x, 2)
    for i in (0, 1):
        x = w.convolution(same(norm(x, f"stage1.{i}.norm"), 3, 1), f"stage1.{i}.conv").relu()
    for stage, channels, width in ((2, 128, 64), (3, 256, 64), (4, 384, 96), (5, 512, 128)):
        x = F.max_pool2d(x, 2)
        x = w.convolution(norm(x, f"stage{stage}.norm"), f"stage{stage}.conv").relu()
        assert x.shape[1] == channels
        for i in range(4):
            x = block(x, f"stage{stage}.{i}.", width)
    return w.linear(F.max_pool2d(w.mark(x), x.shape[2:]).flatten(1), "fc")


def gapnet(w, x):
    def selu(x):
        if x.dtype == torch.float32:
            return F.selu(x)
        alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
        return scale * torch.where(x > 0, x, alpha * torch.expm1(x))

    def conv(x, i, stride=1):
        return selu(w.convolution(same(x, 3, stride), f"conv{i}", stride))

    def pool(x):
        return F.max_pool2d(same(x, 2, 2, value=-torch.inf), 2)

    first = pool(conv(x, 1, 2))
    second = pool(conv(conv(conv(conv(first, 2, 2), 3), 4), 5))
    third = w.mark(conv(conv(conv(second, 6), 7), 8))
    x = torch.cat([average(y) for y in (first, second, third)], 1)
    return w.linear(selu(w.linear(selu(w.linear(x, "fc1")), "fc2")), "fc3")


def symmetric_head(w, u, v):
    """One feature at a time, as Keras' 4x1 convolution over the stacked channels does."""
    total = w["weighted.bias"]
    for d in range(u.shape[1]):
        a, b = u[:, d : d + 1], v[:, d : d + 1]
        channels = torch.cat([a * b, a + b, (a - b).abs(), (a - b) ** 2], 1)
        total = total + w["weighted.weight"][0, d] * w.linear(w.linear(channels, "hidden").relu(), "feature")[:, 0]
    return total


REBUILT = {"bninception": bn_inception, "simplenet64": simplenet64, "piotte": piotte, "gapnet": gapnet}


def laid_out(tensors, settings):
    """As the caller's network lies in memory; a fresh tensor, or 1x1 kernels would keep strides that say otherwise."""
    if not settings.get("channels_last"):
        return tensors

    def convert(value):
        return torch.empty_like(value, memory_format=torch.channels_last).copy_(value) if value.dim() == 4 else value

    return {name: convert(value) for name, value in tensors.items()}


def answer_rebuilt(function, weights, inputs, upstream):
    w = Weights(weights)
    inputs = [x.clone().requires_grad_(True) for x in inputs]
    with torch.no_grad():
        answers = {"eval": function(w, *inputs)}
    w.training = True
    answers["train"] = function(w, *inputs)
    answers["train"].backward(upstream)
    w.check_all_used()
    answers |= {"grad/" + k: v.grad for k, v in w.values.items() if v.requires_grad}
    answers |= {f"grad/input{i}": x.grad for i, x in enumerate(inputs)}
    return answers | {"buffer/" + k: v for k, v in w.values.items() if k.endswith(BUFFERS)}


def answer_inception(weights, tensors, settings):
    network = torchvision.models.inception_v3(num_classes=settings["num_outputs"], aux_logits=settings["auxiliary"],
                                              init_weights=False, dropout=0.0)
    if settings["in_channels"] != 3:
        network.Conv2d_1a_3x3.conv = torch.nn.Conv2d(settings["in_channels"], 32, 3, stride=2, bias=False)
    network = network.to(tensors["images"].dtype)
    if settings["channels_last"]:
        network = network.to(memory_format=torch.channels_last)
    network.load_state_dict(weights, strict=True)
    images = tensors["images"].clone().requires_grad_(True)
    answers = {}
    with torch.no_grad():
        answers["eval"] = network.eval()(images)
    network.train()
    if settings["auxiliary"]:
        answers["train"], answers["auxiliary"] = network(images)
        torch.autograd.backward([answers["train"], answers["auxiliary"]], [tensors["upstream"], 0.4 * tensors["upstream"]])
    else:
        answers["train"] = network(images)
        answers["train"].backward(tensors["upstream"])
    answers |= {"grad/" + name: parameter.grad for name, parameter in network.named_parameters()}
    answers |= {"buffer/" + name: buffer for name, buffer in network.named_buffers()}
    answers["grad/input0"] = images.grad
    order = [sum(ord(c) * (i + 1) for i, c in enumerate(name)) for name, _ in network.named_parameters()]
    answers["order"] = torch.tensor(order)
    return answers


def answer(tensors, settings):
    tensors = laid_out(tensors, settings)
    weights = {name.removeprefix("weight/"): value for name, value in tensors.items() if name.startswith("weight/")}
    if settings["name"] == "inception_v3":
        return answer_inception(weights, tensors, settings)
    if settings["name"] == "symmetric_head":
        return answer_rebuilt(symmetric_head, weights, [tensors["u"], tensors["v"]], tensors["upstream"])
    return answer_rebuilt(REBUILT[settings["name"]], weights, [tensors["images"]], tensors["upstream"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    answer_all(answer)
