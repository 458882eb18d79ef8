"""A web page: drop a picture, see its persons, move the threshold, save the keypoints as JSON.

A picture is read by the toolkit's own reader; gradio would decode it by Pillow first. gradio is
imported here and in app_server.py only, and only when a page is made.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keypoint.app.picture import (
    BOX_TEXT,
    FoundPersons,
    describe_found,
    draw_found,
    find_on_picture,
    parse_boxes,
    record_text,
)
from keypoint.data.synthetic.samples import Sample
from keypoint.errors import DataError, KeypointError
from keypoint.prediction.predictor import Predictor
from keypoint.prediction.stream import FindPersons

KEPT_S = (
    3600  # seconds that uploads and pictures are kept on disk, and a visitor's result in memory
)
SWEEP_S = 600  # between two looks for older ones
WAITING = 64  # visitors in the queue; more are told that it is full
THRESHOLD = 0.2  # the score from which the evaluation counts a keypoint
SHOWN_HEIGHT = 390  # of the two pictures on the page
START = "No picture yet."

CSS = """
.gradio-container {max-width: 1180px !important; margin: 0 auto !important}
#head h1 {font-size: 1.7rem; margin: 0 0 .15rem 0}
#head p, #offer p, #foot p {margin: 0; opacity: .75}
#foot p {font-size: .85rem}
#head .html-container, #told .html-container, #offer .html-container, #foot .html-container
  {padding: 0 4px !important}
#offer {margin-bottom: -10px}
#line {align-items: center; justify-content: space-between}
#line #save {flex: 0 0 12rem}
#told p {margin: 0; font-size: 1rem; overflow-wrap: anywhere}
#told .fault {color: #b91c1c; background: #fef2f2; border: 1px solid #b91c1c; border-radius: 8px;
  padding: .4rem .75rem}
#samples {min-height: 0}
#samples .grid-wrap {min-height: 0; height: auto; max-height: none; padding: 0}
#samples .thumbnail-item {aspect-ratio: 4 / 3}
#samples img {object-position: 50% 10%}
@media (max-width: 700px) {
  #picture, #result {height: 280px !important; min-width: 100% !important}
  #line {flex-wrap: wrap}
  #told {min-width: 100%}
  #line #save {flex: 1 0 100%}
  #samples .grid-container {grid-template-columns: repeat(3, minmax(0, 1fr)) !important}
}
"""

# The browser makes the file of the text that it has: nothing more lies on the server's disk.
SAVE = """(text, name) => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], {type: 'application/json'}));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}"""


@dataclass(frozen=True)
class Finder:
    """What the page asks.

    Attributes:
        predictor: Finds the keypoints.
        find_persons: Finds the boxes where nobody types any.
        unasked: What it takes for persons then, as words for the page.
    """

    predictor: Predictor
    find_persons: FindPersons
    unasked: str


def make_page(finder: Finder, samples: list[Sample], uploads: Path) -> Any:
    """The page, not yet served; `app_server.require_gradio` comes before.

    Args:
        finder: Answers.
        samples: To try it with; their files stay as long as the page.
        uploads: The folder that gradio puts uploads in; no file elsewhere is read.
    """
    import gradio as gr

    skeleton = finder.predictor.skeleton

    def answer(upload: Any, text: str, threshold: float) -> tuple[Any, ...]:
        """Outputs `answers`; the fault in place of the line where there is one."""
        if not upload:
            return _nothing(gr, _line(START))
        try:
            path = _require_upload(upload, uploads)
            found = find_on_picture(
                path, finder.predictor, finder.find_persons, parse_boxes(text or "")
            )
        except KeypointError as error:
            return _nothing(gr, _fault(str(error)))
        return (
            found,
            draw_found(found, skeleton, threshold),
            _line(describe_found(found, threshold)),
            record_text(found, skeleton),
            f"{path.stem}.keypoints.json",
            gr.Button(interactive=True),
        )

    def uploaded(upload: Any, threshold: float) -> tuple[Any, ...]:
        """Boxes of the picture before are not this one's; a picture that fails is taken away."""
        answered = answer(upload, "", threshold)
        return (gr.skip() if answered[0] else None, "", *answered)

    def sampled(threshold: float, event: Any) -> tuple[Any, ...]:
        sample = samples[event.index]
        text = "\n".join(" ".join(f"{v:g}" for v in box) for box in sample.boxes_xywh)
        return (str(sample.path), text, *answer({"path": str(sample.path)}, text, threshold))

    # gradio looks at the annotation for what to pass, and cannot resolve a name of this function.
    sampled.__annotations__["event"] = gr.SelectData

    def redraw(found: FoundPersons | None, threshold: float) -> tuple[Any, ...]:
        if found is None:
            return gr.skip(), gr.skip()
        return draw_found(found, skeleton, threshold), _line(describe_found(found, threshold))

    with gr.Blocks(
        title="keypoint", analytics_enabled=False, delete_cache=(SWEEP_S, KEPT_S)
    ) as page:
        found = gr.State(None, time_to_live=KEPT_S)
        gr.HTML(_head(finder), elem_id="head", padding=False)
        with gr.Row():
            picture = gr.Image(
                type="filepath",
                image_mode=None,
                sources=["upload"],
                label="Your picture",
                placeholder="Drop a picture here\nor click to choose one",
                height=SHOWN_HEIGHT,
                elem_id="picture",
            )
            result = gr.Image(
                label="Persons found",
                interactive=False,
                height=SHOWN_HEIGHT,
                buttons=["download", "fullscreen"],
                elem_id="result",
            )
        with gr.Row(elem_id="line"):
            told = gr.HTML(_line(START), elem_id="told", padding=False)
            save = gr.Button(
                "Download JSON", variant="primary", size="md", interactive=False, elem_id="save"
            )
        threshold = gr.Slider(
            0,
            1,
            THRESHOLD,
            step=0.01,
            label="Score threshold",
            info="Keypoints of a lower score are not drawn; the JSON has all.",
            buttons=[],
            elem_id="threshold",
        )
        if samples:
            gr.HTML("<p>Or try a generated picture:</p>", elem_id="offer", padding=False)
            gallery = gr.Gallery(
                [str(sample.path) for sample in samples],
                show_label=False,
                container=False,
                columns=len(samples),
                height="auto",
                object_fit="cover",
                allow_preview=False,
                interactive=False,
                buttons=[],
                elem_id="samples",
            )
        with gr.Accordion("Person boxes", open=False):
            boxes = gr.Textbox(
                lines=3,
                max_lines=8,
                label=f"One person a line: {BOX_TEXT}, in pixels",
                info=f"{finder.unasked}.",
                placeholder="120 40 90 260",
                elem_id="boxes",
            )
            again = gr.Button("Find with these boxes", elem_id="again")
        with gr.Accordion("JSON", open=False):
            record = gr.Code(
                language="json", interactive=False, show_label=False, lines=3, max_lines=14
            )
        name = gr.Textbox(visible="hidden")
        gr.HTML(_foot(), elem_id="foot", padding=False)

        answers = [found, result, told, record, name, save]
        # One picture is decoded and predicted at a time: a network takes all cores, and a picture
        # may be large. `preprocess=False` gives the upload's place in place of Pillow's pixels.
        network: dict[str, Any] = {
            "preprocess": False,
            "concurrency_limit": 1,
            "concurrency_id": "network",
            "show_progress_on": result,
        }
        private: dict[str, Any] = {"api_visibility": "private"}
        picture.upload(
            uploaded, [picture, threshold], [picture, boxes, *answers], **network, **private
        )
        picture.clear(lambda: _nothing(gr, _line(START)), None, answers, queue=False, **private)
        again.click(answer, [picture, boxes, threshold], answers, api_name="find", **network)
        if samples:
            gallery.select(sampled, threshold, [picture, boxes, *answers], **network, **private)
        threshold.input(
            redraw,
            [found, threshold],
            [result, told],
            concurrency_limit=4,
            show_progress="hidden",
            trigger_mode="always_last",
            **private,
        )
        save.click(None, [record, name], None, js=SAVE, **private)
    page.queue(max_size=WAITING)
    return page


def _require_upload(upload: Any, uploads: Path) -> Path:
    """Gradio itself looks at the place only of what says by itself that it is a file."""
    path = Path(str(upload.get("path"))).resolve() if isinstance(upload, dict) else Path()
    if not path.is_relative_to(uploads.resolve()):
        raise DataError(f"{path.name}: this is no upload; upload it")
    if not path.is_file():
        raise DataError(f"{path.name}: kept for {KEPT_S // 60} minutes only; upload it again")
    return path


def _nothing(gr: Any, line: str) -> tuple[Any, ...]:
    """The page's `answers` without a result."""
    return None, None, line, "", "", gr.Button(interactive=False)


def _line(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _fault(text: str) -> str:
    return f'<p class="fault" role="alert">{html.escape(text)}</p>'


def _head(finder: Finder) -> str:
    skeleton = finder.predictor.skeleton
    return (
        "<h1>keypoint</h1><p>Drop a picture and see the "
        f"{skeleton.num_keypoints} keypoints of every person on it. "
        f"{html.escape(finder.unasked)}.</p>"
    )


def _foot() -> str:
    return (
        "<p>Pictures are looked at by the machine that serves this page and go nowhere else; they "
        f"are deleted after {KEPT_S // 60} minutes, and when the server ends.</p>"
    )
