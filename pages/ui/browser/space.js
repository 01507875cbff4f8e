// Where things are. A place is in units (0..1, y up) or in CSS pixels of the picture (y down).

const STEPS = 65534; // see core/point_cloud.py
const NOTHING = 65535;
const MARGIN = 28; // pixels around the whole map
const TOOLS = 24; // pixels more above it, where the tools are
const CLOSEST = 100; // times closer than the whole map; beyond it, places are a step apart
const FARTHEST = 0.3;

class Camera {
  constructor() {
    Object.assign(this, { width: 1, height: 1, whole: [0, 0, 1, 1] });
    this.reset();
  }

  // The box, in units, that is shown at first; a few far points may lie outside of it.
  setWhole(box) {
    this.whole = box;
  }

  reset() {
    const [left, bottom, right, top] = this.whole;
    [this.x, this.y, this.zoom] = [(left + right) / 2, (bottom + top) / 2, 1];
  }

  // Pixels a unit.
  get scale() {
    const [left, bottom, right, top] = this.whole;
    const [w, h] = [right - left, top - bottom].map((side) => Math.max(side, 1e-3));
    const room = (side) => Math.max(side - 2 * MARGIN, 1);
    return this.zoom * Math.min(room(this.width) / w, room(this.height - TOOLS) / h);
  }

  // The unit in the middle of the picture; (x, y) stands a little below it.
  get middle() {
    return [this.x, this.y + TOOLS / 2 / this.scale];
  }

  toPixels([u, v]) {
    const s = this.scale;
    const [x, y] = this.middle;
    return [this.width / 2 + (u - x) * s, this.height / 2 - (v - y) * s];
  }

  toUnits([px, py]) {
    const s = this.scale;
    const [x, y] = this.middle;
    return [x + (px - this.width / 2) / s, y - (py - this.height / 2) / s];
  }

  pan(dx, dy) {
    const s = this.scale;
    this.x = clamp(this.x - dx / s, 0, 1);
    this.y = clamp(this.y + dy / s, 0, 1);
  }

  // What is under the pixel stays under it.
  zoomAt(pixel, factor) {
    const before = this.toUnits(pixel);
    this.zoom = clamp(this.zoom * factor, FARTHEST, CLOSEST);
    const after = this.toUnits(pixel);
    this.x += before[0] - after[0];
    this.y += before[1] - after[1];
    this.pan(0, 0);
  }
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

// Finds points by place: rows sorted by the cell they are in.
class Grid {
  constructor(places) {
    this.places = places; // x and y of each row, as steps
    this.n = places.length / 2;
    this.side = this.n > 50000 ? 256 : 64;
    this.starts = new Uint32Array(this.side * this.side + 1);
    this.sort();
  }

  cellOf(step) {
    return Math.min(Math.floor((step * this.side) / STEPS), this.side - 1);
  }

  sort() {
    const { places, n, side, starts } = this;
    const cells = new Uint32Array(n).fill(side * side);
    for (let row = 0; row < n; row++) {
      if (places[2 * row] === NOTHING) continue;
      cells[row] = this.cellOf(places[2 * row + 1]) * side + this.cellOf(places[2 * row]);
      starts[cells[row] + 1]++;
    }
    for (let cell = 0; cell < side * side; cell++) starts[cell + 1] += starts[cell];
    this.rows = new Uint32Array(starts[side * side]);
    const next = starts.slice();
    for (let row = 0; row < n; row++) {
      if (cells[row] < side * side) this.rows[next[cells[row]]++] = row;
    }
  }

  // The row nearest to a place within a radius, both in units; -1 where there is none.
  nearest([u, v], radius) {
    const [x, y, reach] = [u * STEPS, v * STEPS, radius * STEPS];
    let best = -1;
    let least = reach * reach;
    this.visit([x - reach, y - reach, x + reach, y + reach], (row) => {
      const [dx, dy] = [this.places[2 * row] - x, this.places[2 * row + 1] - y];
      const away = dx * dx + dy * dy;
      if (away > least || (away === least && best >= 0)) return;
      least = away;
      best = row;
    });
    return best;
  }

  // How crowded a box is, given in units: points in a cell, as most points and as most cells
  // would have it, and in the fullest one.
  crowd(low, high) {
    let [points, cells, squares, fullest] = [0, 0, 0, 0];
    const [left, bottom, right, top] = [...low, ...high].map((unit) =>
      this.cellOf(clamp(unit, 0, 1) * STEPS));
    for (let y = bottom; y <= top; y++) {
      for (let cell = y * this.side + left; cell <= y * this.side + right; cell++) {
        const here = this.starts[cell + 1] - this.starts[cell];
        points += here;
        cells += here > 0;
        squares += here * here;
        fullest = Math.max(fullest, here);
      }
    }
    return { usual: Math.sqrt(squares / Math.max(cells, 1)), fullest };
  }

  // Calls with each row in the cells that a box touches; the box is in steps.
  visit([left, bottom, right, top], call) {
    if (right < 0 || top < 0 || left > STEPS || bottom > STEPS) return;
    const [from, to] = [this.cellOf(Math.max(left, 0)), this.cellOf(Math.min(right, STEPS))];
    for (let y = this.cellOf(Math.max(bottom, 0)); y <= this.cellOf(Math.min(top, STEPS)); y++) {
      const end = this.starts[y * this.side + to + 1];
      for (let at = this.starts[y * this.side + from]; at < end; at++) call(this.rows[at]);
    }
  }

  // How many points lie in a box, given in units.
  count(low, high) {
    const [left, bottom, right, top] = [...low, ...high].map((unit) => unit * STEPS);
    let inside = 0;
    this.visit([left, bottom, right, top], (row) => {
      const [x, y] = [this.places[2 * row], this.places[2 * row + 1]];
      inside += x >= left && x <= right && y >= bottom && y <= top;
    });
    return inside;
  }
}

// All placed rows in an order without any pattern, so that the first few speak for all.
function shuffled(rows) {
  const order = rows.slice();
  let seed = 1;
  for (let last = order.length - 1; last > 0; last--) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const other = Math.floor((seed / 4294967296) * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

// One order, the rows that are not kept before those that are. Returns where the kept begin.
function partition(order, bits, into) {
  let context = 0;
  let kept = order.length;
  for (const row of order) {
    if ((bits[row >> 3] >> (row & 7)) & 1) into[--kept] = row;
    else into[context++] = row;
  }
  return context;
}
