// The legend under a map: what the colours mean, how the numbers are spread, and two handles that
// set a range on them.

const BINS = 60;

class Legend {
  // `moved` is called while a handle moves, `let_go` after it: with the range as shares.
  constructor(element, moved, letGo) {
    Object.assign(this, { element, moved, letGo });
  }

  set(colouring, palette, kept) {
    this.colouring = colouring;
    this.element.replaceChildren();
    const title = this.element.appendChild(make("span", "title", colouring.title));
    title.title = colouring.about;
    if (colouring.kind === "category") this.categories(palette);
    else if (colouring.kind !== "plain") this.numbers(palette);
    for (const [name, colour] of kept) this.element.appendChild(swatch(name, colour));
    this.element.appendChild(swatch("not kept", palette.other)).classList.add("context");
  }

  categories(palette) {
    const colours = stopsOf(this.colouring, palette);
    this.colouring.names.forEach((name, i) => {
      this.element.appendChild(swatch(name, `rgb(${colours[i].slice(0, 3)})`));
    });
  }

  numbers(palette) {
    const { low, high, clipped } = this.colouring;
    const stops = rampStops(this.colouring, palette);
    const scale = this.element.appendChild(make("div", "scale"));
    scale.appendChild(make("span", "end", (clipped ? "≤ " : "") + numeral(low)));
    const bar = scale.appendChild(make("div", "bar"));
    this.spread = bar.appendChild(make("canvas", "spread"));
    bar.appendChild(make("div", "ramp")).style.background = `linear-gradient(90deg, ${stops})`;
    if (this.colouring.range) this.handles(bar);
    scale.appendChild(make("span", "end", (clipped ? "≥ " : "") + numeral(high)));
  }

  handles(bar) {
    const [low, high] = this.colouring.range;
    this.low = bar.appendChild(handle(`lowest ${this.colouring.title} kept`, low));
    this.high = bar.appendChild(handle(`highest ${this.colouring.title} kept`, high));
    for (const input of [this.low, this.high]) {
      input.addEventListener("input", () => this.moved(this.range(input)));
      input.addEventListener("change", () => this.letGo(this.range(input)));
      this.say(input);
    }
  }

  // The two handles as shares; the one that moves does not pass the other.
  range(moving) {
    if (moving === this.low) this.low.value = Math.min(this.low.value, this.high.value);
    else this.high.value = Math.max(this.low.value, this.high.value);
    this.say(moving);
    return [this.low.value / 1000, this.high.value / 1000];
  }

  say(input) {
    const { low, high } = this.colouring;
    const text = numeral(low + ((high - low) * input.value) / 1000);
    input.setAttribute("aria-valuetext", text);
    input.title = text;
  }

  // Bars above the ramp: all numbers in grey, those of the kept over them.
  drawSpread(values, bits, palette) {
    if (!this.spread || !["sequence", "diverging"].includes(this.colouring.kind)) return;
    const [all, kept] = [new Uint32Array(BINS), new Uint32Array(BINS)];
    for (let row = 0; row < values.length; row++) {
      if (values[row] === NOTHING) continue;
      const bin = Math.min(Math.floor((values[row] * BINS) / STEPS), BINS - 1);
      all[bin]++;
      kept[bin] += (bits[row >> 3] >> (row & 7)) & 1;
    }
    this.bars([[all, palette.other], [kept, palette.kept]]);
  }

  bars(layers) {
    const canvas = this.spread;
    [canvas.width, canvas.height] = [BINS * 6, 48];
    const pen = canvas.getContext("2d");
    const most = Math.sqrt(Math.max(1, ...layers[0][0]));
    for (const [counts, colour] of layers) {
      pen.fillStyle = colour;
      counts.forEach((count, bin) => {
        const high = Math.ceil((48 * Math.sqrt(count)) / most);
        pen.fillRect(bin * 6, 48 - high, 5, high);
      });
    }
  }
}

function handle(name, share) {
  const input = make("input", "handle");
  Object.assign(input, { type: "range", min: 0, max: 1000, value: Math.round(share * 1000) });
  input.setAttribute("aria-label", name);
  return input;
}

function swatch(name, colour) {
  const item = make("span", "swatch");
  item.appendChild(make("i")).style.background = colour;
  item.appendChild(make("span", "", name)).dir = "auto";
  return item;
}
