"""A network in which the unit that matters to each class is known."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn


class Colours(nn.Module):
    """A class for each of red, green and blue, from the unit that sees it, among units that nothing hears."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        see, say = nn.Conv2d(3, 12, 1), nn.Linear(12, 3, bias=False)
        with torch.no_grad():
            see.weight[:3] = torch.eye(3)[..., None, None]
            see.bias.zero_()
            say.weight.zero_()
            say.weight[:, :3] = 4 * torch.eye(3)
        self.parts = nn.Sequential(OrderedDict(see=see, relu=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), say=say))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.parts(x)
