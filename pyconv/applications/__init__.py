"""Ready-made models, untrained: functions that make them."""

from .alexnet import alexnet, zfnet
from .lenet import lenet5
from .mobilenet import mobilenet
from .pointnet import pointnet
from .resnet import resnet, resnet18, resnet20, resnet32, resnet34, resnet50, resnet56, resnet_cifar
from .unet import unet
from .vgg import vgg, vgg11, vgg13, vgg16, vgg19

__all__ = ["alexnet", "lenet5", "mobilenet", "pointnet", "resnet", "resnet18", "resnet20", "resnet32",
           "resnet34", "resnet50", "resnet56", "resnet_cifar", "unet", "vgg", "vgg11", "vgg13", "vgg16",
           "vgg19", "zfnet"]
