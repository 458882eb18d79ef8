"""Text and picture about a site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from keypoint.drawing.canvas import Image
from keypoint.drawing.heat import SCALES, draw_field, draw_query, draw_regions, draw_weights
from keypoint.drawing.persons import fit_picture, picture_sheet
from keypoint.drawing.sheets import stack
from keypoint.explain.field import ReceptiveField
from keypoint.explain.row import Row
from keypoint.explain.site import Explained, Fields

CELL = 288  # px, of the longer side of a picture
CELL_OF_CLIP = 150
MOST_FRAMES = 8  # of a clip, side by side
STRONGEST = 5


def table(found: Explained) -> str:
    """Return lines about a site: rows with their five strongest weights, and receptive fields."""
    query = found.query
    name = f"{query.name} at " if query.name else ""
    where = f"column {query.column:.0f}, row {query.row:.0f}"
    if found.input_size[0] > 1:
        where = f"frame {query.frame}, {where}"
    lines = [f"{found.site} ({found.kind}): {name}{where} of the input"]
    if found.added is not None:
        new = "; a new block changes nothing" if found.added == 0 else ""
        lines.append(f"  the block changes its input there by {found.added:.3g} of its norm{new}")
    for row in found.rows:
        lines.append(f"  {row.name or 'row':10} {_row_text(row, found)}")
    for title, fields, text in (
        ("random inputs (Luo et al.)", found.random, _luo_text),
        ("this input (RepLKNet)", found.given, _squares_text),
    ):
        lines.append(f"  receptive field, {title}")
        for name, field in (("before", fields.before), ("after", fields.after)):
            lines.append(f"    {name:7} {text(field)}{_frames_text(field)}")
    return "\n".join(lines)


def _row_text(row: Row, found: Explained) -> str:
    five = " ".join(f"{row.weights[region]:.3g}" for region in row.strongest(STRONGEST))
    pixels, frames = row.distance(found.scale)
    distance = f"{pixels:.1f} px" + (f", {frames:.2f} frames" if found.input_size[0] > 1 else "")
    size = " x ".join(str(n) for n in row.weights.shape if n > 1) or "1"
    return (
        f"{row.kind}, {size}; strongest {five}; entropy / log N {row.entropy:.3f}; "
        f"mean distance {distance}"
    )


def _luo_text(field: ReceptiveField) -> str:
    return f"{field.size:.1f} px, {field.ratio:.2f} of the theoretical {field.theoretical_size:.1f}"


def _squares_text(field: ReceptiveField) -> str:
    squares = [f"{s.share * 100:.0f} % in {s.side} px ({s.area:.3f})" for s in field.squares()]
    logs = "/".join(str(square.side) for square in field.squares(log=True))
    return f"{', '.join(squares)}; of log10(x + 1) {logs}" if squares else "it depends on no pixel"


def _frames_text(field: ReceptiveField) -> str:
    if len(field.frames) == 1:
        return ""
    return "; frames " + " ".join(f"{share:.2f}" for share in field.frames)


def sheet(found: Explained, frames: Image) -> Image:
    """Draw a site; for a clip each part is a line with the frames side by side.

    The parts are the image with the query and the five strongest regions of each row (one color per
    row), the rows as heat maps, and the receptive field before and after training, with RepLKNet's
    squares.

    Args:
        found: The site.
        frames: (T, H, W, 3) uint8 RGB, the network's input as a picture; T is 1 for an image.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    is_clip = len(frames) > 1
    side = CELL_OF_CLIP if is_clip else CELL
    height, width = frames.shape[1:3]
    cell = (round(side * height / max(height, width)), round(side * width / max(height, width)))
    shown = _frames_shown(len(frames), found.query.frame)
    seen = [*_query_line(found, frames, shown, cell)]
    for row in found.rows:
        seen += _row_line(row, frames, shown, cell)
    fields = [
        *_field_cells("random", found.random, shown, cell, squares=False),
        *_field_cells("given", found.given, shown, cell, squares=True),
    ]
    return stack(
        [
            picture_sheet(
                [picture for picture, _ in cells],
                [title for _, title in cells],
                columns=len(shown) if is_clip else len(cells),
                cell_size=cell,
            )
            for cells in (seen, fields)
        ]
    )


Cell = tuple[Image, str]


def _frames_shown(number: int, query: int) -> list[int]:
    """Return evenly spaced frames, the nearest one replaced by the query's."""
    if number <= MOST_FRAMES:
        return list(range(number))
    shown = np.linspace(0, number - 1, MOST_FRAMES).round().astype(int)
    shown[np.abs(shown - query).argmin()] = query
    return [int(t) for t in shown]


def _query_line(
    found: Explained, frames: Image, shown: Sequence[int], cell: tuple[int, int]
) -> Iterator[Cell]:
    total, height, width = found.input_size
    query = found.query
    for t in shown:
        picture = np.ascontiguousarray(fit_picture(frames[t], cell)[0])
        for number, row in enumerate(found.rows):
            boxes = [
                row.box(region)
                for region in row.strongest(STRONGEST)
                if region[0] + row.first_frame == t * row.map_size[0] // total
            ]
            draw_regions(picture, boxes, SCALES[number % len(SCALES)])
        if t == query.frame:
            draw_query(picture, (query.column + 0.5) / width, (query.row + 0.5) / height)
        name = f"{query.name or 'query'}, {found.site}, {found.kind}"
        yield picture, name if total == 1 else f"frame {t}{', query' * (t == query.frame)}"


def _row_line(
    row: Row, frames: Image, shown: Sequence[int], cell: tuple[int, int]
) -> Iterator[Cell]:
    weights = row.on_map()
    heat = weights / (np.abs(weights).max() or 1.0)
    for t in shown:
        frame = t * row.map_size[0] // len(frames)
        picture = fit_picture(frames[t], cell)[0]
        if len(frames) == 1:
            title = f"{row.name or row.kind}: max {np.abs(weights).max():.2g}"
        else:
            title = f"{row.name or row.kind} {np.abs(heat[frame]).max():.2f}"
        yield draw_weights(picture, heat[frame], signed=row.kind == "signed"), title


def _field_cells(
    title: str, fields: Fields, shown: Sequence[int], cell: tuple[int, int], *, squares: bool
) -> Iterator[Cell]:
    for name, field in (("before", fields.before), ("after", fields.after)):
        scores: NDArray[np.float64] = field.scores / (field.scores.max() or 1.0)
        row, column = field.centre
        drawn = [(column, row, square.side) for square in field.squares()] if squares else []
        words = f"{title}, {name}"
        if len(field.scores) == 1:
            size = [f"50 % in {s.side} px" for s in field.squares() if s.share == 0.5]
            words += f": {size[0] if squares and size else f'{field.size:.0f} px'}"
        for t in shown:
            of_frame = f"{name} {field.frames[t]:.2f} {title}"
            yield draw_field(scores[t], cell, drawn), words if len(field.scores) == 1 else of_frame
