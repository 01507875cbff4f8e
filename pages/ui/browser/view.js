// One map: puts places, colours, kept samples and words together, and says what a person did.

const REST_MS = 120; // after which a pointer means the point under it
const SETTLED_MS = 140; // after which all points are drawn again
const SLOW_MS = 45; // a frame of a moving map
const FAST_MS = 22;
const MOVING_RATIO = 0.6; // how fine a picture is while it moves and not all points are on it
const FEWEST = 30000; // points of a moving map, however slow
const views = new WeakMap();

export default function ({ data, parentElement, setTriggerValue, setStateValue }) {
  let view = views.get(parentElement);
  if (!view) {
    try {
      view = new View(parentElement.querySelector(".map"), roomOf(data.room));
    } catch (error) {
      console.warn(`map: ${error.message}`);
      setStateValue("webgl", false);
      return;
    }
    views.set(parentElement, view);
  }
  view.tell = setTriggerValue;
  view.take();
  return () => setTimeout(() => leaveView(parentElement, view));
}

// See `leave` in part.js: a call that was overtaken has not left.
function leaveView(parentElement, view) {
  if (parentElement.isConnected) return;
  views.delete(parentElement);
  view.leave();
}

class View {
  constructor(root, room) {
    this.root = root;
    this.room = room;
    const find = (name) => root.querySelector(`.${name}`);
    for (const name of ["points", "tip", "veil", "foot", "rules", "drawing", "middle"]) {
      this[name] = find(name);
    }
    this.rings = { opened: find("opened"), hovered: find("hovered") };
    this.painter = new Painter(this.points);
    this.counter = new Counter();
    this.camera = room.camera ??= new Camera(); // where the person was before
    this.labels = new Labels(find("labels"));
    this.legend = new Legend(find("legend"), (r) => this.preview(r), (r) => this.tell("range", r));
    this.does = this.actions();
    this.gestures = new Gestures(this.points, this.does);
    Object.assign(this, { have: {}, hovered: -1, share: 1, budget: 200000, range: [0, 1] });
    this.toolbar(find("tools"));
    this.watch();
  }

  watch() {
    this.room.changed = () => this.take();
    this.room.answered = () => this.showTip();
    this.resizing = new ResizeObserver(() => this.resize());
    this.resizing.observe(this.points);
    this.points.addEventListener("webglcontextlost", (event) => {
      event.preventDefault(); // so that it is given back
      this.cover("The graphics card took a break. The map comes back by itself.");
    });
    this.points.addEventListener("webglcontextrestored", () => {
      this.painter.setUp();
      this.have = {};
      this.take();
    });
  }

  leave() {
    this.resizing.disconnect();
    this.room.changed = this.room.answered = () => {};
    cancelAnimationFrame(this.frame);
    clearTimeout(this.settling);
    clearTimeout(this.resting);
    this.painter.leave();
  }

  // What Python says in words: names, colours, labels, and which bytes belong to them.
  set(data) {
    this.data = data;
    const { palette } = data;
    for (const name of ["ink", "muted", "grid", "kept", "other", "threshold", "background"]) {
      this.root.style.setProperty(`--${name}`, palette[name]);
    }
    this.root.style.setProperty("--height", `${data.height}px`);
    this.points.setAttribute("aria-label", data.name);
    this.labels.set(data.labels);
    this.range = [0, 1];
    this.mode(this.room.mode ?? "pan");
    this.drawRules();
    this.have.look = null;
  }

  // Takes what has come; nothing is drawn until all that belongs together is here.
  take() {
    const words = this.room.parts.get("words");
    if (!words) return;
    if (this.have.words !== words.key) this.set(JSON.parse(new TextDecoder().decode(words.bytes)));
    const wanted = ["points", "values", "kept"].map((role) => this.part(role));
    if (wanted.includes(undefined)) return;
    const [points, values, kept] = wanted;
    const { have, painter, data } = this;
    if (have.points !== points.key) this.takePoints(points);
    if (have.values !== values.key) painter.setValues((this.values = numbers(values.bytes)));
    if (have.kept !== kept.key || have.points !== points.key) this.takeKept(kept.bytes);
    const same = have.look && have.values === values.key && have.kept === kept.key;
    this.have = {
      words: words.key, points: points.key, values: values.key, kept: kept.key, look: true,
    };
    if (!same) {
      painter.setRamp((this.ramp = rampOf(data.colouring, data.palette)));
      const colour = data.colouring.kind === "plain" ? [["kept", data.palette.kept]] : [];
      this.legend.set(data.colouring, data.palette, colour);
      this.legend.drawSpread(this.values, this.bits, data.palette);
    }
    this.veil.hidden = true;
    this.resize();
  }

  part(role) {
    const wanted = this.data.parts[role];
    if (wanted === null) return { key: "none", bytes: new Uint8Array(2 * this.data.n) };
    const found = this.room.parts.get(role);
    return found?.key === wanted ? found : undefined;
  }

  takePoints({ bytes }) {
    this.places = numbers(bytes);
    this.grid = new Grid(this.places);
    this.order = shuffled(this.grid.rows);
    this.painter.setPlaces(this.places);
    this.room.texts.clear();
    this.camera.setWhole(this.data.whole);
    if (this.room.map !== this.data.parts.points) this.camera.reset();
    this.room.map = this.data.parts.points;
  }

  takeKept(bits) {
    this.bits = bits;
    const index = new Uint32Array(this.order.length);
    const from = partition(this.order, bits, index);
    this.painter.setOrder(index, from);
  }

  resize() {
    const { points, camera } = this;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const [width, height] = [points.clientWidth, points.clientHeight];
    if (!width || !height) return;
    [camera.width, camera.height] = [width, height];
    const size = [Math.round(width * ratio), Math.round(height * ratio)];
    if (points.width !== size[0]) points.width = size[0];
    if (points.height !== size[1]) points.height = size[1];
    const [x, y] = [width / 2, height / 2];
    this.middle.setAttribute("d", `M${x - 8} ${y}h16M${x} ${y - 8}v16`);
    this.redraw(false);
  }

  // Draws soon. A moving map draws as many points as stay smooth, and all once it rests.
  redraw(moving = true) {
    clearTimeout(this.settling);
    if (moving) this.settling = setTimeout(() => this.redraw(false), SETTLED_MS);
    this.moving = moving;
    this.frame ||= requestAnimationFrame((now) => this.paint(now));
  }

  paint(now) {
    this.frame = 0;
    if (!this.have.points) return;
    if (this.moving) this.learn(now - this.painted);
    this.painted = this.moving ? now : NaN;
    const share = this.moving ? Math.min(1, this.budget / Math.max(this.order.length, 1)) : 1;
    this.picture(this.look(), share);
    this.labels.draw(this.camera);
    this.drawRules();
    this.place("opened", this.data.opened ?? -1);
    this.place("hovered", this.hovered);
    if (!this.moving) this.settled();
  }

  picture(look, share) {
    const { camera, painter, places, values, bits } = this;
    if (!look.counted) return painter.draw(camera, look, share);
    const some = share < 1 && this.order; // in an order without a pattern; all go by row
    const n = some ? Math.ceil(share * some.length) : places.length / 2;
    const points = { places, values, bits, index: some, n };
    const ratio = (this.points.width / camera.width) * (some ? MOVING_RATIO : 1);
    painter.drawPicture(this.counter.picture(points, camera, look, ratio, share));
  }

  learn(frameMs) {
    if (frameMs > SLOW_MS) this.budget = Math.max(FEWEST, this.budget * 0.6);
    else if (frameMs < FAST_MS) this.budget = Math.min(1e7, this.budget * 1.4);
  }

  settled() {
    this.say();
    this.room.drawn = (this.room.drawn ?? 0) + 1;
    this.root.dataset.drawn = this.room.drawn; // for those who wait for the picture
  }

  // How points look from here: small and counted where they are many, else large and single.
  look() {
    const { grid, camera, data } = this;
    const seen = grid.crowd(...this.corners());
    const cell = (camera.scale / grid.side) ** 2; // square pixels
    const crowd = Math.max(seen.usual / cell, 1e-9); // points a pixel
    const size = clamp(1.15 / Math.sqrt(crowd), 1.4, 9);
    const plain = (hex) => rgb(hex).slice(0, 3).map((part) => part / 255);
    const { palette } = data;
    return {
      counted: size < 4,
      peak: seen.fullest / cell,
      ramp: this.ramp,
      domain: domainOf(data.colouring),
      range: this.range[0] > 0 || this.range[1] < 1 ? openEnds(this.range) : [0, 2],
      paper: plain(palette.background),
      deep: plain(palette.muted),
      layers: [
        {
          kept: false, coloured: this.room.colourAll, plain: plain(palette.other),
          size, alpha: 0.75, faint: 0.45, full: 1,
        },
        {
          kept: true, coloured: true, plain: plain(palette.muted),
          size: size * 1.35, alpha: 0.95, faint: 0.7, full: 1,
        },
      ],
    };
  }

  // The lower left and the upper right of what is in view, in units.
  corners() {
    const { camera } = this;
    return [camera.toUnits([0, camera.height]), camera.toUnits([camera.width, 0])];
  }

  // A ring around a row; -1 for none.
  place(name, row) {
    const ring = this.rings[name];
    const there = row >= 0 && 2 * row < this.places.length && this.places[2 * row] !== NOTHING;
    ring.style.visibility = there ? "visible" : "hidden";
    if (!there) return;
    const [x, y] = this.camera.toPixels(this.unitsOf(row));
    ring.setAttribute("cx", x);
    ring.setAttribute("cy", y);
  }

  unitsOf(row) {
    return [this.places[2 * row] / STEPS, this.places[2 * row + 1] / STEPS];
  }

  drawRules() {
    const paths = this.data.rules.map(({ outline, keep }) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("class", keep ? "in" : "out");
      path.setAttribute("d", pathOf(outline.map((corner) => this.camera.toPixels(corner))));
      return path;
    });
    this.rules.replaceChildren(...paths);
  }

  // The line under the map: how many points are shown.
  say() {
    const { placed, n } = this.data;
    const shown = this.grid.count(...this.corners());
    const parts = [
      shown < placed
        ? `${counted(shown)} of ${counted(placed)} samples in view`
        : `${counted(placed)} ${placed === 1 ? "sample" : "samples"} shown`,
    ];
    if (n > placed) parts.push(`${counted(n - placed)} without a place on this map`);
    if (placed > 20000) parts.push("where points overlap, darker or brighter means more of them");
    this.foot.textContent = parts.join(" · ");
  }

  cover(text) {
    this.veil.textContent = text;
    this.veil.hidden = false;
  }
}

// Steps out of bytes.
function numbers(bytes) {
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
}

// A handle at its end bounds nothing: numbers beyond it count, too.
function openEnds([low, high]) {
  return [low <= 0 ? -1 : low, high >= 1 ? 2 : high];
}

function pathOf(corners) {
  return corners.length ? `M${corners.map((c) => c.map((p) => p.toFixed(1))).join("L")}Z` : "";
}
