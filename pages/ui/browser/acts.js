// What a person can do with a map, beside looking: see view.js for the rest of View.

Object.assign(View.prototype, {
  actions() {
    return {
      pan: (dx, dy) => this.moved(() => this.camera.pan(dx, dy)),
      zoom: (at, factor) => this.moved(() => this.camera.zoomAt(at, factor)),
      reset: () => this.moved(() => this.camera.reset()),
      hover: (at, near) => this.hover(at, near),
      open: (at, near) => this.open(this.nearest(at, near)),
      drawing: (corners) => this.drawing.setAttribute("d", corners ? pathOf(corners) : ""),
      outline: (corners) => this.outline(corners),
      mode: (mode) => this.mode(mode),
      turn: () => this.turn(),
      colourAll: () => this.colourAll(),
      fromMiddle: (middle) => this.fromMiddle(middle),
    };
  },

  toolbar(tools) {
    const middle = () => [this.camera.width / 2, this.camera.height / 2];
    const acts = {
      in: () => this.does.zoom(middle(), 1.6),
      out: () => this.does.zoom(middle(), 1 / 1.6),
      reset: () => this.does.reset(),
      turn: () => this.turn(),
      colourAll: () => this.colourAll(),
    };
    this.buttons = [...tools.querySelectorAll("button")];
    for (const button of this.buttons) {
      button.type = "button";
      button.setAttribute("aria-label", button.title);
      const act = button.dataset.mode ? () => this.mode(button.dataset.mode) : acts[button.dataset.do];
      button.addEventListener("click", act);
    }
  },

  // Buttons show how things stand; so they do again after a page was left and come back to.
  mode(mode) {
    this.room.mode = this.gestures.mode = this.root.dataset.mode = mode;
    this.does.drawing(null);
    const { drop = false, colourAll = false } = this.room;
    this.root.classList.toggle("coloured", colourAll);
    for (const button of this.buttons) {
      const { mode: own, do: act } = button.dataset;
      if (own) button.setAttribute("aria-pressed", own === mode);
      if (act === "turn") button.textContent = drop ? "drop inside" : "keep inside";
      if (act === "turn") button.hidden = mode === "pan";
      if (act === "colourAll") button.setAttribute("aria-pressed", colourAll);
    }
  },

  turn() {
    this.room.drop = !this.room.drop;
    this.mode(this.room.mode);
  },

  colourAll() {
    this.room.colourAll = !this.room.colourAll;
    this.mode(this.room.mode);
    this.redraw(false);
  },

  moved(change) {
    change();
    this.forget();
    this.redraw();
    if (this.points.matches(":focus-visible")) this.hover([this.camera.width / 2, this.camera.height / 2]);
  },

  nearest(at, near = NEAR) {
    return this.grid ? this.grid.nearest(this.camera.toUnits(at), near / this.camera.scale) : -1;
  },

  // Numbers at once; the text is asked for when the pointer rests, and shown when it comes.
  hover(at, near) {
    const row = at ? this.nearest(at, near) : -1;
    if (row !== this.hovered) {
      this.forget();
      this.hovered = row;
      if (row >= 0) this.resting = setTimeout(() => this.rest(row), REST_MS);
      this.place("hovered", row);
    }
    this.showTip();
  },

  rest(row) {
    if (!this.room.texts.has(row)) this.room.ask(row);
  },

  forget() {
    clearTimeout(this.resting);
    this.hovered = -1;
    this.tip.classList.remove("there");
  },

  showTip() {
    const row = this.hovered;
    this.tip.classList.toggle("there", row >= 0);
    if (row < 0) return;
    const { colouring } = this.data;
    const kept = (this.bits[row >> 3] >> (row & 7)) & 1 ? "kept" : "not kept";
    const value = `${colouring.title} ${saying(colouring, this.values[row])}`;
    const facts = make("div", "facts", colouring.kind === "plain" ? kept : `${value} · ${kept}`);
    const text = make("div", "text", this.room.texts.get(row) ?? "…");
    text.dir = "auto";
    this.tip.replaceChildren(facts, text);
    const [x, y] = this.camera.toPixels(this.unitsOf(row));
    const { offsetWidth: w, offsetHeight: h } = this.tip;
    const left = clamp(x + 14, 4, Math.max(4, this.camera.width - w - 4));
    const top = y + 14 + h > this.camera.height ? y - 14 - h : y + 14;
    this.tip.style.transform = `translate(${left}px, ${Math.max(top, 4)}px)`;
  },

  open(row) {
    if (row >= 0) this.tell("opened", row);
  },

  // A drawn line in pixels becomes an outline in units; Python makes the rule of it.
  outline(corners) {
    const outline = corners.map((corner) => this.camera.toUnits(corner).map((unit) => +unit.toFixed(6)));
    this.tell("outline", { outline, keep: !this.room.drop });
  },

  // By keyboard: opens what is nearest to the middle, or draws around all that is in view.
  fromMiddle([x, y]) {
    if (this.room.mode === "pan") return this.open(this.nearest([x, y], Math.hypot(x, y)));
    this.outline([[0, 0], [2 * x, 0], [2 * x, 2 * y], [0, 2 * y]]);
  },

  // A handle of the legend moves: drawn here, and sent only when it is let go.
  preview(range) {
    this.range = range;
    this.redraw();
  },
});
