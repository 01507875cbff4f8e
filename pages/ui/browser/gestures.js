// Pointers, wheel and keys, turned into the few things a person can do with a map.

const STILL = 4; // pixels a click may wander
const NEAR = 9; // pixels around a click or a pointer; a finger has twice that
const STEP = 3; // pixels between two corners of a drawn line
const PAN_SHARE = 0.12; // of the picture that one arrow key moves

class Gestures {
  // `does` has: pan, zoom, hover, open, outline, drawing, mode, reset, fromMiddle.
  constructor(canvas, does) {
    Object.assign(this, { canvas, does, mode: "pan", pointers: new Map(), line: null });
    const on = (type, call) => canvas.addEventListener(type, call);
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", (event) => this.cancel(event));
    on("pointerleave", () => this.does.hover(null));
    on("keydown", (event) => this.key(event));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    if (event.button > 0) return;
    const at = this.at(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, at);
    this.begun = { at, still: this.pointers.size === 1 };
    const drawn = event.shiftKey ? "lasso" : event.altKey ? "box" : this.mode;
    this.line = drawn !== "pan" && this.pointers.size === 1 ? { kind: drawn, corners: [at] } : null;
    this.does.drawing(null);
    this.does.hover(null);
  }

  move(event) {
    const at = this.at(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.does.hover(at, event.pointerType === "touch" ? 2 * NEAR : NEAR);
      return;
    }
    if (this.pointers.size === 2) this.pinch(event.pointerId, before, at);
    else if (this.begun.still && distance(at, this.begun.at) <= STILL) return;
    else if (this.line) this.draw(at);
    else this.does.pan(at[0] - before[0], at[1] - before[1]);
    this.begun.still = false;
    this.pointers.set(event.pointerId, at);
  }

  // Two fingers: what was between them stays between them.
  pinch(moved, before, at) {
    const other = [...this.pointers].find(([id]) => id !== moved)[1];
    const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const [old, now] = [middle(before, other), middle(at, other)];
    this.does.zoom(old, distance(at, other) / Math.max(distance(before, other), 1));
    this.does.pan(now[0] - old[0], now[1] - old[1]);
    this.line = null;
    this.does.drawing(null);
  }

  draw(at) {
    const { kind, corners } = this.line;
    if (kind === "box") {
      const [x, y] = corners[0];
      this.line.corners = [[x, y], [at[0], y], at, [x, at[1]]];
    } else if (distance(at, corners.at(-1)) >= STEP) corners.push(at);
    this.does.drawing(this.line.corners);
  }

  up(event) {
    const at = this.at(event);
    const [line, { still }] = [this.line, this.begun ?? {}];
    const known = this.pointers.has(event.pointerId);
    this.cancel(event);
    if (!known) return;
    if (still) this.does.open(at, event.pointerType === "touch" ? 2 * NEAR : NEAR);
    else if (line && line.corners.length > 2) this.does.outline(line.corners);
  }

  cancel(event) {
    this.pointers.delete(event.pointerId);
    this.line = null;
    this.does.drawing(null);
  }

  wheel(event) {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1); // a mouse may count in lines
    const pinched = event.ctrlKey ? 6 : 1; // so a touchpad reports a pinch, in small numbers
    this.does.zoom(this.at(event), Math.exp(clamp(-pixels * pinched * 0.0016, -0.7, 0.7)));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey) return;
    const middle = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2];
    const [dx, dy] = middle.map((half) => 2 * half * PAN_SHARE);
    const { does } = this;
    const moves = {
      ArrowLeft: () => does.pan(dx, 0),
      ArrowRight: () => does.pan(-dx, 0),
      ArrowUp: () => does.pan(0, dy),
      ArrowDown: () => does.pan(0, -dy),
      "+": () => does.zoom(middle, 1.4),
      "=": () => does.zoom(middle, 1.4),
      "-": () => does.zoom(middle, 1 / 1.4),
      0: () => does.reset(),
      v: () => does.mode("pan"),
      b: () => does.mode("box"),
      l: () => does.mode("lasso"),
      d: () => does.turn(),
      c: () => does.colourAll(),
      Enter: () => does.fromMiddle(middle),
      Escape: () => does.mode("pan"),
    };
    const move = moves[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation(); // a page may have keys of its own
    move();
  }
}

function distance([ax, ay], [bx, by]) {
  return Math.hypot(ax - bx, ay - by);
}
