// What stands in words on and under a map: cluster labels, the legend, numbers as people read them.

const AREA_A_LABEL = 26000; // square pixels; fewer labels are shown than would fit
const GAP = 6; // pixels between labels
const ABOVE = 13; // pixels that a label stands above its place, to hide less

// A new element with a class and a text; texts of samples are only ever set as text.
function make(tag, className = "", text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function numeral(value) {
  return value.toLocaleString("en-GB", { maximumSignificantDigits: 3 });
}

function counted(n) {
  return n.toLocaleString("en-GB");
}

// Cluster labels: the largest first, each where it overlaps none before it. Closer up there is
// more room, so more are shown.
class Labels {
  constructor(element) {
    this.element = element;
    this.shown = [];
  }

  set(labels) {
    this.element.replaceChildren();
    this.shown = labels.map((label) => {
      const span = this.element.appendChild(make("span", "label", label.text));
      span.dir = "auto";
      return { ...label, span, width: 0 };
    });
  }

  draw(camera) {
    const most = Math.max(3, (camera.width * camera.height * camera.zoom) / AREA_A_LABEL);
    const taken = [];
    for (const label of this.shown) {
      label.width ||= label.span.offsetWidth;
      const [x, middle] = camera.toPixels([label.x, label.y]);
      const y = middle - ABOVE;
      const box = [x - label.width / 2 - GAP, y - 11 - GAP, x + label.width / 2 + GAP, y + 11 + GAP];
      const inside = box[0] > 0 && box[1] > 40 && box[2] < camera.width && box[3] < camera.height;
      const free = taken.length < most && inside && !taken.some((other) => overlap(box, other));
      label.span.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
      label.span.classList.toggle("there", free);
      if (free) taken.push(box);
    }
  }
}

function overlap(a, b) {
  return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
}

// The colours of a column as 256 RGBA pixels: a ramp, or a step for each category.
function rampOf(colouring, palette) {
  const pixels = new Uint8Array(1024);
  const stops = stopsOf(colouring, palette);
  for (let i = 0; i < 256; i++) {
    const at = colouring.kind === "category" ? Math.min(i, stops.length - 1) : i / 255;
    pixels.set(colouring.kind === "category" ? stops[at] : mixed(stops, at), 4 * i);
  }
  return pixels;
}

function stopsOf(colouring, palette) {
  if (colouring.kind === "category") {
    return palette.categories.map(rgb).slice(0, colouring.names.length);
  }
  if (colouring.kind === "plain") return [rgb(palette.kept)];
  return rampStops(colouring, palette).map(rgb);
}

// The palest of a sequence is left out: on the map it would be paler than what is not kept.
function rampStops({ kind }, palette) {
  return kind === "diverging" ? palette.diverging : palette.sequence.slice(1);
}

function mixed(stops, at) {
  const place = at * (stops.length - 1);
  const left = Math.min(Math.floor(place), Math.max(stops.length - 2, 0));
  const right = stops[Math.min(left + 1, stops.length - 1)];
  return stops[left].map((part, i) => Math.round(part + (right[i] - part) * (place - left)));
}

function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).concat(255);
}

// The share of a step range that colours span: a category's steps are its numbers.
function domainOf(colouring) {
  return colouring.kind === "category" ? [-0.5 / STEPS, 255.5 / STEPS] : [0, 1];
}

// What a step says, in words.
function saying(colouring, step) {
  if (step === NOTHING) return "no value";
  if (colouring.kind === "category") return colouring.names[step];
  const value = colouring.low + ((colouring.high - colouring.low) * step) / STEPS;
  const end = step === 0 ? "≤ " : step === STEPS ? "≥ " : "";
  return `${colouring.clipped ? end : ""}${numeral(value)}`;
}
