"""Training augmentation: one affine warp from image to crop, then the user's pixel transforms.

Source: SimpleBaseline's `JointsDataset.__getitem__` (scale, rotation, flip, in this order, with
its distributions), as a transform of albumentations. The flip is part of the same warp, and left
and right keypoints are swapped by the skeleton's pairs; the flips of albumentations move a keypoint
but keep its name. HRNet's half body, if it is used, comes first and replaces the box.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

# Before the import, at which albumentations asks the package index for its newest version.
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

import albumentations as A  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from keypoint.data.images.crops import covered_regions, cut_crops  # noqa: E402
from keypoint.data.images.read import warp  # noqa: E402
from keypoint.data.pixel_transforms import pixel_transform, try_transform  # noqa: E402
from keypoint.errors import ConfigError  # noqa: E402
from keypoint.pose.codec import Codec  # noqa: E402
from keypoint.pose.geometry import CropFrame, apply_affine  # noqa: E402

MORE_THAN = 8  # labelled keypoints of a person, else it is not cropped to a half body
PADDING = 1.5  # instead of the 1.25 around a whole person
UPPER_PROBABILITY = 0.691462  # of a standard normal number below 0.5


class PersonCrop(A.DualTransform):  # type: ignore[misc]  # albumentations has no types
    """The random affine crop of one person.

    Called with `image`, `keypoints` of K rows (x, y, visibility) in the image's frame and
    `bbox_xywh`; image and keypoints come back in the crop's frame, always K rows.

    Args:
        codec: Size of the crop, and the convention it is cut by.
        flip_indices: (K,) each keypoint's mirror image.
        scale: The crop's size is multiplied by 1 + scale * N(0, 1), clipped at one sigma to
            [1 - scale, 1 + scale].
        rotation: Degrees; rotation * N(0, 1), clipped to twice that on both sides.
        rotation_probability: How often the crop is rotated at all.
        flip_probability: How often it is mirrored.
        half_body_probability: How often a person with more than 8 labelled keypoints is cropped to
            its upper or lower body.
        upper_body: Indices of the upper body's keypoints, for that.

    Raises:
        ConfigError: The skeleton has no upper body, or too few keypoints, for half bodies.
    """

    _targets = (
        A.core.transforms_interface.Targets.IMAGE,
        A.core.transforms_interface.Targets.KEYPOINTS,
    )

    def __init__(
        self,
        *,
        codec: Codec,
        flip_indices: Sequence[int],
        scale: float = 0.3,
        rotation: float = 40.0,
        rotation_probability: float = 0.6,
        flip_probability: float = 0.5,
        half_body_probability: float = 0.0,
        upper_body: Sequence[int] = (),
    ) -> None:
        super().__init__(p=1.0)
        if half_body_probability and (not upper_body or len(flip_indices) <= MORE_THAN):
            raise ConfigError(
                f"augment.half_body_probability={half_body_probability:g} has no effect: the "
                f"skeleton has {len(flip_indices)} keypoints, {len(upper_body)} of them in "
                f"upper_body; it needs more than {MORE_THAN}, and upper_body: [names] in its "
                "file. Or give augment.half_body_probability=0, even if train.recipe set it"
            )
        self.codec = codec
        self.flip_indices = np.array(flip_indices)
        self.scale = scale
        self.rotation = rotation
        self.rotation_probability = rotation_probability
        self.flip_probability = flip_probability
        self.half_body_probability = half_body_probability
        self.upper_body = tuple(upper_body)

    @property
    def targets_as_params(self) -> list[str]:
        """Place the crop by the box, or for half a body by the keypoints."""
        return ["bbox_xywh", "keypoints"]

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw scale, rotation and flip from albumentations' own generator.

        Always four numbers, even if some are not used, and two more if half bodies are drawn.
        """
        scale_draw, rotation_draw = self.random_generator.standard_normal(2)
        rotate, mirror = self.random_generator.random(2) < (
            self.rotation_probability,
            self.flip_probability,
        )
        # min and max of two numbers take a tenth of np.clip's time
        factor = min(max(1 + self.scale * scale_draw, 1 - self.scale), 1 + self.scale)
        turn = min(max(self.rotation * rotation_draw, -2 * self.rotation), 2 * self.rotation)
        rotation = turn if rotate else 0.0
        frame = self.codec.crop_frame(np.asarray(data["bbox_xywh"])[None])
        if self.half_body_probability:
            halve, choice = self.random_generator.random(2)
            rows = data["keypoints"]  # x, y, albumentations' own columns, visibility
            half = half_body_crop(
                rows[:, :2],
                rows[:, -1] > 0,
                self.upper_body,
                choice < UPPER_PROBABILITY,
                self.codec.input_size,
            )
            if half is not None and halve < self.half_body_probability:
                frame = replace(frame, center=half[0][None], crop_size=half[1][None])
        matrix = frame.scaled(factor).matrices(rotation, bool(mirror))
        return {"matrix": matrix[0], "mirror": bool(mirror)}

    def apply(
        self, img: NDArray[np.uint8], matrix: NDArray[np.float64], **params: Any
    ) -> NDArray[np.uint8]:
        """Warp the image."""
        return warp(img, matrix, self.codec.input_size)

    def apply_to_keypoints(
        self,
        keypoints: NDArray[np.float32],
        matrix: NDArray[np.float64],
        mirror: bool,
        **params: Any,
    ) -> NDArray[np.float32]:
        """Move the keypoints by the same matrix; a mirrored left wrist is a right wrist."""
        moved: NDArray[np.float32] = keypoints.copy()
        moved[:, :2] = apply_affine(matrix, keypoints[:, :2].astype(np.float64))
        return moved[self.flip_indices] if mirror else moved


def half_body_crop(
    keypoints_image: NDArray[np.floating],
    labelled: NDArray[np.bool_],
    upper_body: Sequence[int],
    prefer_upper: bool,
    input_size: tuple[int, int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return centre and size of the crop around one half of a person, or None for the whole person.

    Source: HRNet's `JointsDataset.half_body_transform`. Two details are easily missed: the crop's
    centre is the mean of the keypoints, not the middle of their box, and the upper body is chosen
    by `randn() < 0.5`, which is true in 69 % of cases.

    Args:
        keypoints_image: (K, 2).
        labelled: (K,).
        upper_body: Indices of the keypoints of the upper body; all others are the lower.
        prefer_upper: Which half to take. The other one is taken if this one has two labelled
            keypoints or fewer.
        input_size: (height, width) of the network's input.

    Returns:
        Centre (2,) and crop size (2,), image pixels, as of a `CropFrame`. None: the person
        is left whole, having 8 labelled keypoints or fewer, or all of the half in one place.
    """
    if np.count_nonzero(labelled) <= MORE_THAN:
        return None
    is_upper = np.isin(np.arange(len(labelled)), upper_body)
    upper, lower = keypoints_image[labelled & is_upper], keypoints_image[labelled & ~is_upper]
    use_upper = len(upper) > 2 if prefer_upper else len(lower) <= 2
    half = np.asarray(upper if use_upper else lower, dtype=np.float64)  # N 2
    extent = half.max(axis=0) - half.min(axis=0)
    if not extent.any():
        return None
    box = np.array([[0, 0, *extent]])
    crop_size = CropFrame.from_bboxes(box, input_size, padding=PADDING).crop_size
    return half.mean(axis=0), crop_size[0]


@dataclass(frozen=True)
class Sample:
    """The augmentation drawn for one person, and its keypoints; made without the image.

    Attributes:
        matrix: (2, 3), image frame to crop frame.
        region: (4,) image pixels that the crop covers, as of `covered_regions`.
        keypoints_crop: (K, 2) float32.
        visibility: (K,) uint8.
        pixel_seed: Of the pixel transforms.
    """

    matrix: NDArray[np.float64]
    region: NDArray[np.int64]
    keypoints_crop: NDArray[np.float32]
    visibility: NDArray[np.uint8]
    pixel_seed: int


class Augmentation:
    """PersonCrop, then pixel transforms in an albumentations pipeline, seeded for every call.

    The result equals that of one pipeline with all of them. PersonCrop is called directly because
    it determines the needed rows before the image is decoded, and because the pipeline's
    conversions of keypoints take a tenth of the decoding time.

    Args:
        crop: The affine part.
        transforms: Pixel transforms as in the YAML: {"name": "ColorJitter", "p": 0.5, ...}.

    Raises:
        ConfigError: albumentations lacks a transform or an argument, or a transform moves pixels
            (keypoints would not follow), or its result is not a crop.
    """

    def __init__(self, crop: PersonCrop, transforms: Sequence[Mapping[str, Any]] = ()) -> None:
        for entry in transforms:
            try_transform(pixel_transform(entry), crop.codec.input_size)
        self.crop = crop
        self.input_size = crop.codec.input_size
        self.pixels = A.Compose([pixel_transform(entry) for entry in transforms])

    def __call__(
        self,
        image: NDArray[np.uint8],
        bbox_xywh: NDArray[np.float64],
        keypoints_image: NDArray[np.float32],
        visibility: NDArray[np.uint8],
        seed: Sequence[int],
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]:
        """Cut and augment one person.

        Args:
            image: (H, W, 3) uint8 RGB.
            bbox_xywh: (4,), image frame.
            keypoints_image: (K, 2).
            visibility: (K,).
            seed: Non-negative integers (seed, epoch, index), which determine the augmentation.

        Returns:
            Crop (h, w, 3) uint8 RGB, keypoints (K, 2) in its frame and their visibility (K,).
        """
        sample = self.draw(bbox_xywh, keypoints_image, visibility, seed)
        crop = np.empty((*self.input_size, 3), np.uint8)
        self.cut(image, sample, crop)
        return crop, sample.keypoints_crop, sample.visibility

    def draw(
        self,
        bbox_xywh: NDArray[np.float64],
        keypoints_image: NDArray[np.float32],
        visibility: NDArray[np.uint8],
        seed: Sequence[int],
    ) -> Sample:
        """Draw the augmentation of one person; the arguments are those of `__call__`."""
        number = int(np.random.SeedSequence(tuple(seed)).generate_state(1)[0])
        self.crop.set_random_state(np.random.default_rng(number), self.crop.py_random)
        rows = np.concatenate([keypoints_image, visibility[:, None]], axis=1, dtype=np.float32)
        drawn = self.crop.get_params_dependent_on_data(
            {}, {"bbox_xywh": bbox_xywh, "keypoints": rows}
        )
        moved = self.crop.apply_to_keypoints(rows, **drawn)
        matrix = drawn["matrix"]
        region = covered_regions(matrix[None], self.input_size)[0]
        return Sample(matrix, region, moved[:, :2], moved[:, 2].astype(np.uint8), number)

    def cut(self, image: NDArray[np.uint8], sample: Sample, crop: NDArray[np.uint8]) -> None:
        """Cut the crop of a sample and apply the pixel transforms.

        Args:
            image: (H, W, 3) uint8 RGB; rows below the sample's region may be missing.
            sample: Result of the drawing.
            crop: (h, w, 3) uint8 RGB, filled with the result.
        """
        cut_crops(image, sample.matrix[None], sample.region[None], crop[None])
        if self.pixels.transforms:
            self.pixels.set_random_seed(sample.pixel_seed)
            crop[:] = self.pixels(image=crop)["image"]
