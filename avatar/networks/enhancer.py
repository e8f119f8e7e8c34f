"""Enhancer: a U-Net of depthwise-separable blocks that turns the rasterized frame into the path-traced one.

The network is shaped by what a two-core CPU without wide vectors can do in 12 ms at 512 x 512:

* A picture stored as rows of RGBA pixels is, without moving a byte, a picture of `width / 4` columns with 16 channels.
  The stem is a convolution with a (4, 1) kernel and stride on that view, and the head is its transpose, so that the
  space-to-depth by four costs no reordering of memory in a channels-last engine.
* All further layers are 3x3 depthwise and 1x1 convolutions (Howard et al., "MobileNets", 2017), with no activation
  between the two (Chollet, "Xception", 2017) and with residual sums (He et al., 2016) that engines fuse into the 1x1.
* Most parameters sit at 8x8 pixels and below, where they cost memory but little time. There the network sees the
  whole frame and can learn what depends on the pose and expression as a whole.
* The mouth is drawn once more by a branch of its own that sees single pixels: cells of 4 x 4 pixels cannot place the
  edge of a tooth, and viewers look there.
* The output is a residual: a network whose head is zero returns its input. Colors are premultiplied, so that a
  residual is as smooth as the outline it corrects: the straight color of what is not there has a step at every outline.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCK_PX = 4
"""Edge of the square of pixels that the stem folds into one cell."""

PART_COUNT = 9
"""Part ids run from 0 (background) to 8."""

MOUTH_ROWS, MOUTH_COLUMNS = (264 / 512, 360 / 512), (160 / 512, 340 / 512)
"""Where the inside of a mouth may lie, as shares of the frame: portraits that turn by 12 degrees, with a margin. Beyond
it the U-Net's picture stands."""

MOUTH_LEVELS = (2.0, 3.0, 4.0, 5.0)
"""Part ids above each of which the branch of the mouth is told; above the first and not the last lie teeth, tongue and
the mouth's interior (3 to 5)."""

MASK_SAMPLES = ((1, 1), (1, 3), (3, 1), (3, 3))
"""(row, column) of the pixels in a cell whose part ids the network sees; the RGBA of all 16 pixels is seen."""


@dataclass(frozen=True, slots=True)
class EnhancerConfig:
    """Sizes of the network.

    Attributes:
        channels: channels of each level; level i has 1 / (4 * 2**i) of the frame's width.
        blocks: residual blocks of each level, on the way down and (at least one) on the way up.
        mouth_channels, mouth_blocks: of the branch of the mouth.
    """

    channels: tuple[int, ...] = (48, 80, 128, 256, 512, 1024, 1024)
    blocks: tuple[int, ...] = (1, 1, 2, 2, 2, 2, 3)
    mouth_channels: int = 32
    mouth_blocks: int = 3

    def __post_init__(self):
        if len(self.channels) != len(self.blocks) or not self.channels:
            raise ValueError(f"channels and blocks must have one entry a level, got {self.channels} and {self.blocks}")

    @property
    def multiple_px(self) -> int:
        """Height and width of a frame must be multiples of this."""
        return BLOCK_PX * 2 ** (len(self.channels) - 1)


class DepthwiseSeparable(nn.Module):
    """3x3 depthwise convolution, 1x1 convolution, residual sum where shapes allow, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1):
        super().__init__()
        self.depthwise = nn.Conv2d(channels_in, channels_in, 3, stride, 1, groups=channels_in, bias=False)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1)
        self.is_residual = stride == 1 and channels_in == channels_out
        nn.init.normal_(self.depthwise.weight, std=0.1)
        with torch.no_grad():
            self.depthwise.weight[:, :, 1, 1] += 1.0 if stride == 1 else 0.25
            if stride == 2:
                self.depthwise.weight += 0.1
            nn.init.kaiming_normal_(self.pointwise.weight)
            if self.is_residual:
                self.pointwise.weight *= 0.5
            nn.init.zeros_(self.pointwise.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels_in, h, w] -> [batch, channels_out, h / stride, w / stride]."""
        mixed = self.pointwise(self.depthwise(x))
        return functional.relu(x + mixed if self.is_residual else mixed)


class Thermometer(nn.Module):
    """Fixed code of part ids: for each sampled pixel, code j is 1 where the id is greater than j.

    One-hot codes are differences of neighboring thermometer codes, so a linear layer behind this one sees one-hot
    codes; unlike a table look-up or comparisons this is one convolution with a fused clip.
    """

    def __init__(self):
        super().__init__()
        levels = PART_COUNT - 1
        weight = torch.zeros(len(MASK_SAMPLES) * levels, BLOCK_PX, BLOCK_PX, 1)
        for i, (row, column) in enumerate(MASK_SAMPLES):
            weight[i * levels : (i + 1) * levels, column, row, 0] = 1.0
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", -torch.arange(float(levels)).repeat(len(MASK_SAMPLES)), persistent=False)

    @property
    def channels_out(self) -> int:
        return self.weight.shape[0]

    def forward(self, parts: Tensor) -> Tensor:
        """[batch, 4 columns, height, width / 4] ids as float -> [batch, 32, height / 4, width / 4] in {0, 1}."""
        return functional.conv2d(parts, self.weight, self.bias, stride=(BLOCK_PX, 1)).clamp(0.0, 1.0)


class Mouth(nn.Module):
    """Draws the inside of the mouth anew, at full resolution, from what the U-Net made of it and from the raster.

    It works on rows of four pixels: what is 16 channels of a cell four pixels wide and one high.
    """

    def __init__(self, channels: int, blocks: int):
        super().__init__()
        levels = torch.tensor(MOUTH_LEVELS)
        self.enter = nn.Conv2d(8 * BLOCK_PX + BLOCK_PX * len(levels), channels, 1)
        self.blocks = nn.Sequential(*(DepthwiseSeparable(channels, channels) for _ in range(blocks)))
        self.leave = nn.Conv2d(channels, 4 * BLOCK_PX, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        above = torch.eye(BLOCK_PX).repeat(len(levels), 1)[..., None, None]
        self.register_buffer("above", above, persistent=False)
        self.register_buffer("below", -levels.repeat_interleave(BLOCK_PX), persistent=False)

    def forward(self, picture: Tensor, raster: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
        """What is to be added to the picture, and how much of it counts.

        Args:
            picture: [batch, 16, h, w / 4], 1.0 is white. raster: likewise.
            parts: [batch, 4, h, w / 4], ids.

        Returns:
            [batch, 16, h, w / 4], and the weight [batch, 1, h, w / 4]: 1 in the mouth, falling to 0 over the lips.
        """
        codes = functional.conv2d(parts, self.above, self.below).clamp(0.0, 1.0)
        inside = (codes[:, :BLOCK_PX] - codes[:, -BLOCK_PX:]).amax(1, keepdim=True)
        grown = functional.max_pool2d(inside, (5, 3), 1, (2, 1))
        weight = functional.avg_pool2d(grown, (5, 3), 1, (2, 1))
        entered = functional.relu(self.enter(torch.cat([picture, raster, codes], 1)))
        return self.leave(self.blocks(entered)), weight


class Enhancer(nn.Module):
    """The network with its uint8 contract; see `avatar.enhancer` for the tensors."""

    def __init__(self, config: EnhancerConfig = EnhancerConfig()):
        super().__init__()
        self.config = config
        channels, blocks = config.channels, config.blocks
        folded = 4 * BLOCK_PX
        self.stem = nn.Conv2d(folded, channels[0], (BLOCK_PX, 1), (BLOCK_PX, 1))
        self.thermometer = Thermometer()
        self.part_stem = nn.Conv2d(self.thermometer.channels_out, channels[0], 1, bias=False)
        self.down = nn.ModuleList()
        self.lateral = nn.ModuleList()
        self.up = nn.ModuleList()
        for level, (width, count) in enumerate(zip(channels, blocks, strict=True)):
            first = [DepthwiseSeparable(channels[level - 1], width, stride=2)] if level else []
            self.down.append(nn.Sequential(*first, *(DepthwiseSeparable(width, width) for _ in range(count))))
        for level in reversed(range(len(channels) - 1)):
            width = channels[level]
            self.lateral.append(nn.Conv2d(channels[level + 1], width, 1))
            self.up.append(nn.Sequential(*(DepthwiseSeparable(width, width) for _ in range(max(blocks[level], 1)))))
        self.head = nn.ConvTranspose2d(channels[0], folded, (BLOCK_PX, 1), (BLOCK_PX, 1))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.mouth = Mouth(config.mouth_channels, config.mouth_blocks)

    def forward(self, raster: Tensor, mask: Tensor) -> Tensor:
        """The served graph.

        Args:
            raster: [batch, height, width, 4] uint8, RGBA, premultiplied.
            mask: [batch, height, width] uint8, part ids.

        Returns:
            [batch, height, width, 4] uint8, RGBA, premultiplied; a color may exceed its alpha by what the network errs.
        """
        height, width = _size(raster)
        rows = self._folded(raster)
        cells = self._unet(self._cells(rows, mask, 1.0 / 255.0))
        head = self.head
        residual = functional.conv_transpose2d(cells, head.weight * 255.0, head.bias * 255.0, (BLOCK_PX, 1))
        image = (rows + residual).round().clamp(0.0, 255.0).to(torch.uint8)
        # In bytes: four times as much would be moved around the window otherwise. And cut before it is folded: engines
        # fold without moving memory only what has no other reader.
        window = _mouth_window(height, width)
        pixels = slice(None), window[0], slice(BLOCK_PX * window[1].start, BLOCK_PX * window[1].stop)
        picture = _cut(image, window).to(rows.dtype)
        parts = self._folded_parts(mask[pixels]).to(rows.dtype)
        raster_there = self._folded(raster[pixels])
        added, weight = self.mouth(picture * (1.0 / 255.0), raster_there * (1.0 / 255.0), parts)
        image = _put(image, (picture + added * weight * 255.0).round().clamp(0.0, 255.0).to(torch.uint8), window)
        return image.permute(0, 2, 3, 1).reshape(-1, height, width, 4)

    def enhance(self, raster: Tensor, mask: Tensor) -> Tensor:
        """The picture before rounding and clipping: [batch, 16, height, width / 4], 1.0 is white.

        Channel 4 * column + c is color c of the column-th of four neighboring pixels; see `unfold`.
        """
        rows = self._folded(raster) * (1.0 / 255.0)
        image = rows + self.head(self._unet(self._cells(rows, mask, 1.0)))
        window = _mouth_window(*_size(raster))
        picture, parts = _cut(image, window), _cut(self._folded_parts(mask), window).to(rows.dtype)
        added, weight = self.mouth(picture.clamp(0.0, 1.0), _cut(rows, window), parts)
        # The branch corrects a picture of bytes; elsewhere the loss shall see what leaves their range.
        drawn = torch.where(weight > 0, picture.clamp(0.0, 1.0), picture) + added * weight
        return _put(image, drawn, window)

    def _folded(self, raster: Tensor) -> Tensor:
        """[batch, height, width, 4] uint8 -> [batch, 16, height, width / 4] float, 0 to 255."""
        height, width = _size(raster)
        folded = raster.reshape(-1, height, width // BLOCK_PX, 4 * BLOCK_PX).permute(0, 3, 1, 2)
        return folded.to(self.stem.weight.dtype)

    def _folded_parts(self, mask: Tensor) -> Tensor:
        """[batch, height, width] uint8 -> [batch, 4, height, width / 4] uint8."""
        height, width = _size(mask)
        return mask.reshape(-1, height, width // BLOCK_PX, BLOCK_PX).permute(0, 3, 1, 2)

    def _cells(self, picture: Tensor, mask: Tensor, scale: float) -> Tensor:
        """What enters the U-Net; `scale` takes the values of `picture` [batch, 16, height, width / 4] to [0, 1]."""
        parts = self._folded_parts(mask).to(picture.dtype)
        colors = functional.conv2d(picture, self.stem.weight * scale, self.stem.bias, (BLOCK_PX, 1))
        return functional.relu(colors + self.part_stem(self.thermometer(parts)))

    def _unet(self, x: Tensor) -> Tensor:
        skips = []
        for level in self.down:
            x = level(x)
            skips.append(x)
        skips.pop()
        for lateral, level in zip(self.lateral, self.up, strict=True):
            x = functional.interpolate(lateral(x), scale_factor=2.0, mode="nearest")
            x = level(x + skips.pop())
        return x


def _size(raster: Tensor) -> tuple[int, int]:
    """Height and width as plain integers: the exported graph is for one size of frame, whatever the batch."""
    return int(raster.shape[1]), int(raster.shape[2])


def _mouth_window(height: int, width: int) -> tuple[slice, slice]:
    """Rows, and columns in fours, of the window in which the mouth is drawn."""
    rows = (round(height * share) for share in MOUTH_ROWS)
    columns = (round(width / BLOCK_PX * share) for share in MOUTH_COLUMNS)
    return slice(*rows), slice(*columns)


def _cut(folded: Tensor, window: tuple[slice, slice]) -> Tensor:
    return folded[:, :, window[0], window[1]]


def _put(folded: Tensor, part: Tensor, window: tuple[slice, slice]) -> Tensor:
    """`folded` with `part` in its window."""
    rows, columns = window
    beside = folded[:, :, rows]
    middle = torch.cat([beside[..., : columns.start], part, beside[..., columns.stop :]], 3)
    return torch.cat([folded[:, :, : rows.start], middle, folded[:, :, rows.stop :]], 2)


def unfold(folded: Tensor) -> Tensor:
    """[batch, 16, height, width / 4] as `Enhancer.enhance` gives it -> [batch, 4, height, width]."""
    batch, _, height, columns = folded.shape
    pixels = folded.reshape(batch, BLOCK_PX, 4, height, columns).permute(0, 2, 3, 4, 1)
    return pixels.reshape(batch, 4, height, columns * BLOCK_PX)
