"""Persons found by OpenCV's HOG detector, which needs no download.

Histograms of oriented gradients of a 64 x 128 window, weighed by a linear SVM: Dalal and Triggs
2005, Histograms of Oriented Gradients for Human Detection. The SVM's 3780 weights and its bias are
those of `cv2.HOGDescriptor_getDefaultPeopleDetector` (hog_people.npy, licence in hog_people.txt).
OpenCV 5 no longer has the detector, so the features are computed here as OpenCV 4 does, by two
convolutions; tests/prediction/test_hog.py compares them.

Two things differ from OpenCV's `detectMultiScale`: an image is smoothed before it is shrunk, and
duplicates are removed by NMS instead of averaged in groups. On photos this finds twice as many
persons (docs/reference/prediction.md, with recall and false boxes).

Letters: H, W pixels of a level of the pyramid; h, w its blocks of 2 x 2 cells, 8 pixels apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad
from torchvision.ops import nms

WEIGHTS = Path(__file__).with_name("hog_people.npy")
CELL, BLOCK, BINS = 8, 16, 9  # pixels of a side, twice; orientations over 180 degrees
WINDOW = (128, 64)  # height, width
PERSON = (96, 40)  # in the middle of a window: Dalal's margin of 16, a width of 0.41 of the height
PADDING = 16  # pixels around the image, so that a person may touch its edge
SCALE = 1.05  # from one level of the pyramid to the next
LONGEST = 1333  # pixels; a longer image is shrunk to it, as torchvision's detectors do
OVERLAP = 0.3  # IoU above which two boxes are of one person
MOST_WINDOWS, MOST_BOXES = 2000, 100  # boxes by score, before and after NMS; 100 as in torchvision
# A score is a probability by Platt's sigmoid of the SVM's margin, fitted to 514 boxes on 39 photos
# of COCO (tools/benchmarks/detector.py): slope 2.2, middle 1.07.
SLOPE, MIDDLE = 2.0, 1.0


class Hog(nn.Module):
    """A detector with the inputs and outputs of torchvision's; label 1 is person.

    Args:
        score_threshold: Boxes with at most this score are dropped; 0 to 1.
    """

    cells: Tensor

    def __init__(self, score_threshold: float) -> None:
        super().__init__()
        self.score_threshold = score_threshold
        self.detections_per_img = MOST_BOXES
        given = torch.from_numpy(np.load(WEIGHTS, allow_pickle=False))
        # OpenCV's order is column by column, of blocks and of the cells in a block.
        columns = given[:-1].reshape(7, 15, 2, 2, BINS)  # w h, cells x y, bins
        kernel = columns.permute(4, 3, 2, 1, 0).reshape(1, 4 * BINS, 15, 7)
        self.kernel = nn.Parameter(kernel.contiguous(), requires_grad=False)
        self.bias = nn.Parameter(given[-1:].clone(), requires_grad=False)
        self.register_buffer("cells", cell_weights(), persistent=False)

    def forward(self, images: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """Find persons.

        Args:
            images: (3, H, W) RGB from 0 to 1 each, of any size.

        Returns:
            boxes (P, 4) x1 y1 x2 y2 by decreasing score, labels (P,) all 1, and scores (P,) for
            each image.
        """
        return [self._detect(image) for image in images]

    def margins(self, image: Tensor) -> Tensor:
        """Return the SVM's margins for windows 8 pixels apart, (h - 14, w - 6); persons > 0.

        Args:
            image: (3, H, W) from 0 to 1, at least as large as a window.
        """
        return conv2d(self._histograms(image)[None], self.kernel, self.bias)[0, 0]

    def _histograms(self, image: Tensor) -> Tensor:
        """Return the normalised histograms of all blocks, (36, h, w): bins, cells y x."""
        found = conv2d(oriented(image)[:, None], self.cells, stride=CELL).flatten(0, 1)  # 36 h w
        # L2-Hys: normalise, clip, normalise; the constants are OpenCV's.
        clipped = (found / (found.norm(dim=0) + 0.1 * len(found))).clamp(max=0.2)
        again: Tensor = clipped / (clipped.norm(dim=0) + 1e-3)
        return again

    def _detect(self, image: Tensor) -> dict[str, Tensor]:
        height, width = image.shape[1:]
        end = image.new_tensor([width, height, width, height])
        boxes, scores = [image.new_zeros(0, 4)], [image.new_zeros(0)]
        scale = max(1.0, max(height, width) / LONGEST)
        while (
            min((h := round(height / scale)) - WINDOW[0], (w := round(width / scale)) - WINDOW[1])
            >= -2 * PADDING
        ):
            level = interpolate(image[None], size=(h, w), mode="bilinear", antialias=True)[0]
            found, score = self._windows(level)
            boxes.append(found * (end / end.new_tensor([w, h, w, h])))
            scores.append(score)
            if scale > 2 * width / image.shape[2]:
                image = level  # the next levels need no more pixels
            scale *= SCALE
        score, order = torch.cat(scores).sort(descending=True, stable=True)
        order, score = order[:MOST_WINDOWS], score[:MOST_WINDOWS]
        corners = torch.cat(boxes)[order].clamp(min=0).minimum(end)
        kept = nms(corners, score, OVERLAP)[: self.detections_per_img]
        labels = torch.ones(len(kept), dtype=torch.int64, device=image.device)
        return {"boxes": corners[kept], "labels": labels, "scores": score[kept]}

    def _windows(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Return corners (N, 4) on a level of the pyramid, and scores (N,), over the threshold."""
        margins = self.margins(pad(level[None], [PADDING] * 4, mode="reflect")[0])
        scores = torch.sigmoid(SLOPE * (margins - MIDDLE))
        rows, columns = torch.nonzero(scores > self.score_threshold, as_tuple=True)
        (height, width), (tall, wide) = WINDOW, PERSON
        x = columns * CELL - PADDING + (width - wide) / 2
        y = rows * CELL - PADDING + (height - tall) / 2
        return torch.stack([x, y, x + wide, y + tall], dim=1), scores[rows, columns]


def oriented(image: Tensor) -> Tensor:
    """Return gradient lengths (9, H, W), each divided between the two nearest orientations.

    Args:
        image: (3, H, W) from 0 to 1; the strongest gradient of the three colors is used.
    """
    light = (255 * image).sqrt()
    wide = pad(light[None], [1] * 4, mode="reflect")[0]
    dx = wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]
    dy = wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]
    power = dx.square() + dy.square()
    (x, *xs), (y, *ys), (strongest, *powers) = dx, dy, power  # argmax takes ten times longer
    for other_x, other_y, other in zip(xs, ys, powers, strict=True):
        stronger = other > strongest
        x, y = torch.where(stronger, other_x, x), torch.where(stronger, other_y, y)  # H W
        strongest = torch.maximum(strongest, other)
    position = torch.atan2(y, x) * (BINS / math.pi) - 0.5  # -9.5 to 8.5, in bins
    bins = torch.arange(BINS, device=image.device)[:, None, None]
    away = (torch.remainder(position - bins + BINS / 2, BINS) - BINS / 2).abs()  # 9 H W
    shared: Tensor = strongest.sqrt() * (1 - away).clamp(min=0)
    return shared


def cell_weights() -> Tensor:
    """Return the weight of each pixel of a block for its 2 x 2 cells, (4, 1, 16, 16), cells y x.

    Bilinear between the cells' centers, times a Gaussian around pixel (8, 8) of sigma 4.
    """
    pixel = torch.arange(BLOCK)
    centre = (pixel + 0.5) / CELL - 0.5
    bilinear = torch.stack([(1 - (centre - cell).abs()).clamp(min=0) for cell in (0, 1)])  # 2 16
    each = bilinear * torch.exp(-(pixel - BLOCK / 2).square() / (2 * (BLOCK / 4) ** 2))
    return torch.einsum("ai,bj->abij", each, each).reshape(4, 1, BLOCK, BLOCK)
