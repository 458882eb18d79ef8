"""A web page: drop a picture, draw boxes, see its persons, save their keypoints as JSON.

Pictures are read by the toolkit's reader; gradio would decode them with Pillow. gradio is imported
only here and in server.py, and only when a page is made.
"""

from __future__ import annotations

import html
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keypoint.app.draw_boxes import (
    ADD_DRAWN,
    DRAW,
    NO_BOXES,
    REMOVE_ALL,
    REMOVE_LAST,
    SHOW_ROWS,
)
from keypoint.app.picture import (
    BOX_COLUMNS,
    FoundPersons,
    describe_found,
    draw_found,
    find_on_picture,
    read_boxes,
    record_of_found,
    write_upright,
)
from keypoint.checkpoint.generated import ONLY_GENERATED
from keypoint.data.synthetic.samples import Sample
from keypoint.errors import DataError, KeypointError
from keypoint.prediction.predictor import Predictor
from keypoint.prediction.stream import FindPersons

KEPT_S = 3600  # seconds that files are kept on disk, and a visitor's result in memory
WAITING = 64  # visitors in the queue; others are refused
THRESHOLD = 0.2  # the score threshold of the evaluation
SHOWN_HEIGHT = 390  # px, of the two pictures on the page
START = "No picture yet."


@dataclass(frozen=True)
class Finder:
    """The functions that answer the page's requests.

    Attributes:
        predictor: Finds the keypoints.
        find_persons: Finds the boxes if the visitor gives none.
        unasked: Text for the page on how boxes are found then.
    """

    predictor: Predictor
    find_persons: FindPersons
    unasked: str


def make_page(finder: Finder, samples: list[Sample], uploads: Path) -> Any:
    """Make the page; call `server.require_gradio` before.

    Args:
        finder: Answers the requests.
        samples: Pictures to try, in `uploads`.
        uploads: The folder that gradio puts uploads in; no file elsewhere is read.
    """
    import gradio as gr

    skeleton = finder.predictor.skeleton

    def nothing(line: str = START) -> tuple[Any, ...]:
        """Return the page's `answers` without a result."""
        return None, None, line, None, gr.DownloadButton(value=None, interactive=False)

    def redraw(found: FoundPersons | None, threshold: float) -> tuple[Any, Any]:
        if found is None:
            return gr.skip(), gr.skip()
        return draw_found(found, skeleton, threshold), describe_found(found, threshold)

    def answer(upload: Any, table: dict[str, Any], threshold: float) -> tuple[Any, ...]:
        """Return the page's `answers`, with an error message if there is no result."""
        if not upload:
            return nothing()
        try:
            path = _require_upload(upload, uploads)
            boxes = read_boxes(table["data"])
            found = find_on_picture(path, finder.predictor, finder.find_persons, boxes)
        except KeypointError as error:
            gr.Warning(html.escape(str(error)))
            return nothing(str(error))
        record = record_of_found(found, skeleton)
        file = Path(tempfile.mkdtemp(dir=uploads), f"{path.stem}.keypoints.json")
        file.write_text(json.dumps(record, allow_nan=False), encoding="utf-8")
        save = gr.DownloadButton(value=str(file), interactive=True)
        return (found, *redraw(found, threshold), record, save)

    def uploaded(upload: Any, threshold: float) -> tuple[Any, ...]:
        """Remove a picture that cannot be read; boxes drawn in the meantime are kept."""
        answered = answer(upload, {"data": NO_BOXES}, threshold)
        if not answered[0]:
            return (None, NO_BOXES, *answered)
        upright = write_upright(Path(upload["path"]), uploads)
        if upright:
            return (str(upright), NO_BOXES, *answered)
        return (gr.skip(), gr.skip(), *answered)

    def sampled(index: int, threshold: float) -> tuple[Any, ...]:
        path, rows = str(samples[index].path), samples[index].boxes_xywh.tolist()
        return (path, rows, *answer({"path": path}, {"data": rows}, threshold))

    limits = f"\n\n**Warning**: {ONLY_GENERATED}." if finder.predictor.only_generated else ""
    with gr.Blocks(title="keypoint") as page:
        found = gr.State(None, time_to_live=KEPT_S)
        gr.Markdown(
            f"# keypoint\nUpload a picture to see the {skeleton.num_keypoints} keypoints of every "
            "person on it. Drag a box around each person, with mouse or finger, to choose them. "
            f"{finder.unasked}.{limits}"
        )
        with gr.Row():
            with gr.Column():
                with gr.HTML(
                    [],
                    html_template="@children",
                    js_on_load=DRAW,
                    apply_default_css=False,
                    elem_id="drawing",
                ) as drawing:
                    picture = gr.Image(
                        type="filepath",
                        image_mode=None,
                        sources=["upload"],
                        label="Your picture",
                        height=SHOWN_HEIGHT,
                        elem_id="picture",
                    )
                with gr.Row():
                    small: dict[str, Any] = {"size": "md", "min_width": 90}  # three fit on a phone
                    remove_last = gr.Button("Remove last box", elem_id="remove-last", **small)
                    remove_all = gr.Button("Remove all", elem_id="remove-all", **small)
                    again = gr.Button("Find keypoints", variant="primary", elem_id="again", **small)
            with gr.Column():
                result = gr.Image(
                    label="Persons found",
                    interactive=False,
                    height=SHOWN_HEIGHT,
                    buttons=["download", "fullscreen"],
                    elem_id="result",
                )
                with gr.Row(equal_height=True):
                    line = gr.Textbox(
                        START, interactive=False, show_label=False, lines=1, scale=3, elem_id="line"
                    )
                    save = gr.DownloadButton(
                        "Download JSON", size="md", min_width=90, interactive=False, elem_id="save"
                    )
        threshold = gr.Slider(
            0,
            1,
            THRESHOLD,
            step=0.01,
            label="Score threshold",
            info="Keypoints with a lower score are not drawn; the JSON file contains all.",
            elem_id="threshold",
        )
        offered = gr.Dataset(
            components=[picture],
            samples=[[str(sample.path)] for sample in samples],
            type="index",
            label="Or try a generated picture",
            visible=bool(samples),
            elem_id="samples",
        )
        with gr.Accordion("Person boxes in numbers", open=False):
            boxes = gr.Dataframe(
                NO_BOXES,
                headers=list(BOX_COLUMNS),
                datatype="number",
                type="array",
                column_count=len(BOX_COLUMNS),
                label=f"One person per row, in pixels. {finder.unasked}.",
                interactive=True,
                buttons=[],
                elem_id="boxes",
            )
        with gr.Accordion("JSON", open=False):
            record = gr.JSON(show_label=False)
        gr.Markdown(
            "Pictures are processed by the machine that serves this page and sent nowhere else; "
            f"they are deleted after {KEPT_S // 60} minutes, and when the server ends."
        )

        answers = [found, result, line, record, save]
        # One picture is decoded and predicted at a time: a network takes all cores, and a picture
        # may be large. `preprocess=False` gives the upload's path instead of Pillow's pixels.
        network: dict[str, Any] = {
            "preprocess": False,
            "concurrency_limit": 1,
            "concurrency_id": "network",
            "show_progress_on": result,
        }
        private: dict[str, Any] = {"api_visibility": "private"}
        changed = [picture, boxes, *answers]
        gr.on([picture.upload, picture.clear], None, boxes, boxes, js=REMOVE_ALL, **private)
        picture.upload(uploaded, [picture, threshold], changed, **network, **private)
        picture.clear(nothing, None, answers, queue=False, **private)
        drawing.drawn(None, [drawing, boxes], boxes, js=ADD_DRAWN, **private)
        boxes.change(None, boxes, drawing, js=SHOW_ROWS, **private)
        remove_last.click(None, boxes, boxes, js=REMOVE_LAST, **private)
        remove_all.click(None, boxes, boxes, js=REMOVE_ALL, **private)
        again.click(answer, [picture, boxes, threshold], answers, api_name="find", **network)
        offered.click(sampled, [offered, threshold], changed, **network, **private)
        threshold.input(
            redraw,
            [found, threshold],
            [result, line],
            concurrency_limit=4,
            show_progress="hidden",
            trigger_mode="always_last",
            **private,
        )
    page.queue(max_size=WAITING)
    return page


def _require_upload(upload: Any, uploads: Path) -> Path:
    """Check that a path is an upload; gradio checks only paths that are marked as files."""
    path = Path(str(upload.get("path"))).resolve() if isinstance(upload, dict) else Path()
    if not path.is_relative_to(uploads.resolve()) or path.is_dir():
        raise DataError(f"{path.name}: was not uploaded; upload it")
    if not path.is_file():
        raise DataError(f"{path.name}: was deleted after {KEPT_S // 60} minutes; upload it again")
    return path
