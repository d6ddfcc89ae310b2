"""The networks of Baleen in PyTorch, as their publishers wrote them: torchvision's and timm's."""

TIMM = {"seresnext50_32x4d": "legacy_seresnext50_32x4d"}


def make(name, num_classes):
    """A network with fresh weights, as its package makes it by default; Inception-v3 without auxiliary head, as Baleen's default is."""
    if name in TIMM:
        import timm

        return timm.create_model(TIMM[name], pretrained=False, num_classes=num_classes)
    import torchvision

    options = {"aux_logits": False, "init_weights": False} if name == "inception_v3" else {}
    return torchvision.models.get_model(name, weights=None, num_classes=num_classes, **options)
