"""ResNet-50 and ResNet-101 agree with an independent PyTorch network on random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.models.backbones.resnet import resnet50, resnet101

torch = pytest.importorskip("torch")


def normalised(image, convention):
    """The photo as the convention's weights expect it, NCHW."""
    pixels = torch.tensor(image).permute(2, 0, 1).float()
    if convention == "torchvision":
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        return ((pixels / 255 - mean[:, None, None]) / deviation[:, None, None])[None]
    return (pixels.flip(0) - torch.tensor([103.06262, 115.902885, 123.15163])[:, None, None])[None]


def conv_norm(x, variables, conv, norm, stride=1, dilation=1):
    params, running = variables["params"], variables["batch_stats"][norm]
    kernel = torch.tensor(params[conv]["kernel"]).permute(3, 2, 0, 1)
    x = torch.nn.functional.conv2d(
        x, kernel, stride=stride, dilation=dilation, padding=dilation * (kernel.shape[-1] // 2)
    )
    statistics = [torch.tensor(running[name]) for name in ("mean", "var")]
    affine = [torch.tensor(params[norm][name]) for name in ("scale", "bias")]
    return torch.nn.functional.batch_norm(x, *statistics, *affine, eps=1e-5)


def in_torch(image, variables, blocks, convention, first_block_dilation):
    """Returns the features of each stage, NHWC, and the last sum before its ReLU."""
    x = conv_norm(normalised(image, convention), variables, "conv1", "bn1", 2).relu()
    x = torch.nn.functional.max_pool2d(x, 3, 2, 1)
    features = {}
    for stage, count in enumerate(blocks, start=1):
        dilation = {3: 2, 4: 4}.get(stage, 1)
        for i in range(count):
            block = {kind: variables[kind][f"layer{stage}_{i}"] for kind in ("params", "batch_stats")}
            stride = 2 if stage == 2 and i == 0 else 1
            first, second = (1, stride) if convention == "torchvision" else (stride, 1)
            rate = {3: 1, 4: 2}.get(stage, 1) if i == 0 and first_block_dilation == "previous" else dilation
            y = conv_norm(x, block, "conv1", "bn1", first).relu()
            y = conv_norm(y, block, "conv2", "bn2", second, rate).relu()
            y = conv_norm(y, block, "conv3", "bn3")
            if i == 0:
                x = conv_norm(x, block, "downsample_conv", "downsample_bn", stride)
            total = x + y
            x = total.relu()
        features[f"stage{stage}"] = x.permute(0, 2, 3, 1).numpy()
    return features | {"stage4_pre": total.permute(0, 2, 3, 1).numpy()}


@pytest.mark.parametrize(
    ("network", "blocks", "fields"),
    [
        (resnet50, (3, 4, 6, 3), {"convention": "torchvision", "first_block_dilation": "previous"}),
        (resnet50, (3, 4, 6, 3), {"convention": "caffe", "first_block_dilation": "stage"}),
        (resnet101, (3, 4, 23, 3), {"convention": "torchvision", "first_block_dilation": "stage"}),
        (resnet101, (3, 4, 23, 3), {"convention": "caffe", "first_block_dilation": "previous"}),
    ],
)
def test_forward_agrees_with_pytorch(network, blocks, fields, random_variables):
    model = network(**fields)
    variables = random_variables(model)
    image = np.random.default_rng(1).integers(0, 256, (65, 65, 3), np.uint8)
    expected = in_torch(image, variables, blocks, **fields)
    ours = jax.jit(model.apply)(variables, jnp.asarray(image[None]), jnp.array([[65, 65]]))
    for name, theirs in expected.items():
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours[name].map / scale, theirs / scale, atol=1e-4, err_msg=name)
