// Person boxes on the uploaded picture: drawn with mouse, pen or finger, and shown as the table has them.
//
// gradio runs this once, as the body of a function. `element` is around the picture; `props.value`
// is a list of boxes, x y width height in pixels of the picture; `trigger("drawn")` says that the
// visitor has added the last of them; `watch` calls back when the page has set others.

const LEAST = 8; // px on the screen of a box's sides; less is a click or a tap
const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
svg.setAttribute("class", "drawn-boxes");
let first = null; // the corner that the pointer went down on, while it is down

// Lie over the picture. gradio makes a new <img> for each picture, and moves it as the page changes.
function place() {
  const img = element.querySelector("img");
  if (!img || !img.naturalWidth) {
    svg.remove();
    return;
  }
  if (svg.parentNode !== img.parentNode) img.parentNode.append(svg);
  const size = `0 0 ${img.naturalWidth} ${img.naturalHeight}`;
  if (svg.getAttribute("viewBox") !== size) svg.setAttribute("viewBox", size);
  const box = { left: img.offsetLeft, top: img.offsetTop, width: img.offsetWidth, height: img.offsetHeight };
  for (const [side, pixels] of Object.entries(box)) svg.style[side] = `${pixels}px`;
}

function show(boxes) {
  svg.replaceChildren();
  for (const [x, y, width, height] of boxes) {
    for (const name of ["halo", "line"]) {
      const rect = document.createElementNS(svg.namespaceURI, "rect");
      rect.setAttribute("class", name);
      Object.entries({ x, y, width, height }).forEach((side) => rect.setAttribute(...side));
      svg.append(rect);
    }
  }
}

// From the screen to the picture, whatever its scale and margins; no further than its edges.
function onPicture(event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const { width, height } = svg.viewBox.baseVal;
  return [Math.min(Math.max(at.x, 0), width), Math.min(Math.max(at.y, 0), height)].map(Math.round);
}

function boxTo(last) {
  const low = [0, 1].map((axis) => Math.min(first[axis], last[axis]));
  return [...low, ...[0, 1].map((axis) => Math.abs(first[axis] - last[axis]))];
}

const boxes = () => props.value || [];

function cancel() {
  first = null;
  show(boxes());
}

svg.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  if (!event.isPrimary) return cancel(); // a second finger: the visitor zooms
  svg.setPointerCapture(event.pointerId);
  first = onPicture(event);
  event.preventDefault(); // no selection of text, no dragging of the picture
});
svg.addEventListener("pointermove", (event) => {
  if (first && event.isPrimary) show([...boxes(), boxTo(onPicture(event))]);
});
svg.addEventListener("pointerup", (event) => {
  if (!first || !event.isPrimary) return;
  const box = boxTo(onPicture(event));
  const scale = svg.getScreenCTM().a;
  cancel();
  if (Math.min(box[2], box[3]) * scale < LEAST) return;
  props.value = [...boxes(), box];
  show(boxes());
  trigger("drawn");
});
svg.addEventListener("pointercancel", cancel);

watch("value", cancel);
element.addEventListener("load", place, true); // of any <img> within
new MutationObserver(place).observe(element, { childList: true, subtree: true });
new ResizeObserver(place).observe(element);
