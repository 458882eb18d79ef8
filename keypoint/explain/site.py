"""Explanation of one site of a network: the rows of its block, and its receptive field.

Letters: T frames, H W size of the network's input.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from keypoint.explain.attention import KINDS, added_share, rows_at
from keypoint.explain.field import ReceptiveField, receptive_field
from keypoint.explain.row import Row, Scale
from keypoint.explain.unit import input_of, submodule
from keypoint.models.network import Network


@dataclass(frozen=True)
class Query:
    """The query position.

    Attributes:
        row, column: Position on the network's input, in pixels, also fractions.
        frame: Frame of the network's input, from 0.
        name: Name of the keypoint; "" for a given position.
    """

    row: float
    column: float
    frame: int = 0
    name: str = ""


@dataclass(frozen=True)
class Fields:
    """The receptive fields with random and with trained weights."""

    before: ReceptiveField
    after: ReceptiveField


@dataclass(frozen=True)
class Explained:
    """One site.

    Attributes:
        site: Its name for users.
        kind: Class of its submodule.
        query: The query position.
        rows: Rows of its block at the query; empty for a site without a block.
        added: |y - x| / |x| of its block at the query; None without a block.
        random: Fields by Luo et al., on random inputs.
        given: Fields by RepLKNet, on the given image or clip.
        input_size: (T, H, W) of the network's input; T is 1 for images.
    """

    site: str
    kind: str
    query: Query
    rows: list[Row]
    added: float | None
    random: Fields
    given: Fields
    input_size: tuple[int, int, int]

    @property
    def scale(self) -> Scale:
        """Frames, rows and columns of the input per frame, row and column of the block's map."""
        t, h, w = self.rows[0].map_size if self.rows else self.input_size
        frames, height, width = self.input_size
        return frames / t, height / h, width / w


def block_paths(model: Network) -> dict[str, str]:
    """Return submodule names of all blocks by site; several at one site are SITE.0, SITE.1, ..."""
    paths = {}
    for site, path in model.block_paths().items():
        block = model.get_submodule(path)
        many = isinstance(block, nn.ModuleList)
        for number in range(len(block)) if isinstance(block, nn.ModuleList) else [0]:
            paths[f"{site}.{number}" if many else site] = f"{path}.{number}" if many else path
    return paths


def sites_of(model: Network, chosen: str | None, otherwise: str) -> dict[str, str]:
    """Return the submodules to explain, by their names for users.

    Args:
        model: The network.
        chosen: A block's site or the name of any submodule; None for all blocks.
        otherwise: The submodule to use if the network has no blocks.

    Raises:
        ValueError: There is no such submodule.
    """
    paths = block_paths(model)
    if chosen is None:
        return paths or {otherwise or "output": otherwise}
    path = paths.get(chosen, chosen)
    submodule(model, path)
    return {chosen: path}


def explain_site(
    trained: nn.Module,
    fresh: nn.Module,
    example: Tensor,
    query: Query,
    site: str,
    path: str,
    *,
    random_inputs: int,
) -> Explained:
    """Explain one site of a network.

    Args:
        trained: The network.
        fresh: The same network with random weights, on the same device.
        example: The image (1, 3, H, W) or clip (1, 3, T, H, W), normalised.
        query: The position, in pixels of the example.
        site: Name of the site for users.
        path: Name of its submodule.
        random_inputs: Number of inputs from a standard normal distribution, always the same ones.

    Raises:
        ValueError: The submodule's output is not a map.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (random_inputs, *example.shape[1:])
    noise = torch.randn(shape, generator=generator).to(example.device)
    random, given = (
        Fields(*(receptive_field(net, inputs, path, protocol=name) for net in (fresh, trained)))
        for inputs, name in ((noise, "luo"), (example, "replk"))
    )
    rows, added = [], None
    block = submodule(trained, path)
    if isinstance(block, KINDS):
        x = input_of(trained, example, path)
        at = _place(query, example, x)
        rows, added = rows_at(block, x, at), added_share(block, x, at)
    size = (1, *example.shape[2:])[-3:]
    return Explained(site, type(block).__name__, query, rows, added, random, given, size)


def _place(query: Query, example: Tensor, x: Tensor) -> tuple[int, ...]:
    """Return the position in a block's map that contains the query's pixel."""
    clip = example.ndim == 5
    frames = (x.shape[2] if x.ndim == 5 else len(x)) if clip else 1
    sizes = (frames, x.shape[-2], x.shape[-1])
    whole = (1, *example.shape[2:])[-3:]
    pixel = (query.frame, query.row + 0.5, query.column + 0.5)
    place = tuple(
        min(max(int(p * n / of), 0), n - 1) for p, n, of in zip(pixel, sizes, whole, strict=True)
    )
    return place if clip else place[1:]
