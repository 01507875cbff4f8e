// Many points as one picture: counted pixel by pixel, and the counts toned, so that a million of
// them show where they are dense, in light and dark. Counting here takes a tenth of the time that
// it takes graphics in software, and needs no extension of WebGL.

const MOST_PIXELS = 1.3e6; // of the picture; a finer screen stretches it
const TONES = 1024;
const DISC = 1.6; // pixels wide; what is smaller is a dot

class Counter {
  constructor() {
    this.size = [0, 0];
  }

  // `sums`: for context and kept, four numbers a pixel: red, green, blue (each times n), and n.
  resize(camera, ratio) {
    const fine = Math.min(ratio, Math.sqrt(MOST_PIXELS / (camera.width * camera.height)));
    const size = [camera.width, camera.height].map((side) => Math.max(1, Math.round(side * fine)));
    if (size[0] !== this.size[0] || size[1] !== this.size[1]) {
      const pixels = size[0] * size[1];
      this.size = size;
      this.sums = [new Float32Array(4 * pixels), new Float32Array(4 * pixels)];
      this.pixels = new Uint8Array(4 * pixels);
    } else this.sums.forEach((sums) => sums.fill(0));
    this.ratio = size[0] / camera.width;
  }

  // `points`: places, values and bits by row, and an index to go by, or null for all rows.
  picture(points, camera, look, ratio, share) {
    this.resize(camera, ratio);
    this.count(points, camera, look, 1 / share);
    this.pixels.fill(0);
    look.layers.forEach((layer) => this.tone(layer, look));
    return this;
  }

  count({ places, values, bits, index, n }, camera, look, each) {
    const [width, height] = this.size;
    const scale = (camera.scale * this.ratio) / STEPS;
    const middle = camera.middle.map((unit) => unit * camera.scale * this.ratio);
    const left = width / 2 - middle[0] - 0.5;
    const top = height / 2 + middle[1] - 0.5;
    const splats = look.layers.map((layer, i) => this.splat(this.sums[i], layer, each));
    const colours = look.layers.map((layer) => colourer(layer, look));
    const [low, high] = look.range.map((end) => end * STEPS);
    for (let i = 0; i < n; i++) {
      const row = index ? index[i] : i;
      const step = places[2 * row];
      const x = left + step * scale;
      const y = top - places[2 * row + 1] * scale;
      if (!(x > -1 && y > -1 && x < width && y < height) || step === NOTHING) continue;
      const value = values[row];
      const kept = (bits[row >> 3] >> (row & 7)) & 1 && value >= low && value <= high ? 1 : 0;
      splats[kept](x, y, colours[kept](value));
    }
  }

  // A function that adds one point at a place between pixels, with a colour.
  splat(sums, layer, each) {
    const size = layer.size * this.ratio;
    return size < DISC ? this.dot(sums, each * 1.5) : this.disc(sums, size / 2, each);
  }

  // Four pixels share a dot by how near they are.
  dot(sums, each) {
    const [width, height] = this.size;
    return (x, y, colour) => {
      const [column, line] = [Math.floor(x), Math.floor(y)];
      const [right, below] = [x - column, y - line];
      for (let part = 0; part < 4; part++) {
        const [px, py] = [column + (part & 1), line + (part >> 1)];
        if (px < 0 || py < 0 || px >= width || py >= height) continue;
        const weight = (part & 1 ? right : 1 - right) * (part >> 1 ? below : 1 - below) * each;
        add(sums, 4 * (py * width + px), colour, weight);
      }
    };
  }

  // A disc whose edge fades over one pixel.
  disc(sums, radius, each) {
    const [width, height] = this.size;
    const reach = radius + 0.5;
    return (x, y, colour) => {
      const [right, bottom] = [Math.min(x + reach, width - 1), Math.min(y + reach, height - 1)];
      for (let py = Math.max(Math.ceil(y - reach), 0); py <= bottom; py++) {
        for (let px = Math.max(Math.ceil(x - reach), 0); px <= right; px++) {
          const away = Math.sqrt((px - x) * (px - x) + (py - y) * (py - y));
          const weight = Math.min(reach - away, 1) * each;
          if (weight > 0) add(sums, 4 * (py * width + px), colour, weight);
        }
      }
    };
  }

  // Counts become colours over what is there: the mean of the colours, opaque by the logarithm.
  tone(layer, look) {
    const { pixels } = this;
    const sums = this.sums[layer.kept ? 1 : 0];
    const tones = this.tones(look.peak * this.area(layer));
    const deepens = layer.coloured ? 0 : 0.75;
    for (let at = 0; at < sums.length; at += 4) {
      const n = sums[at + 3];
      if (n <= 0) continue;
      const tone = tones[Math.min(Math.floor(n * 8), TONES - 1)];
      const opacity = Math.min(n, 1) * (layer.faint + (layer.full - layer.faint) * tone);
      const deep = deepens * tone * tone;
      for (let part = 0; part < 3; part++) {
        const colour = (sums[at + part] / n) * (1 - deep) + look.deep[part] * 255 * deep;
        pixels[at + part] = colour * opacity + pixels[at + part] * (1 - opacity);
      }
      pixels[at + 3] = 255 * opacity + pixels[at + 3] * (1 - opacity);
    }
  }

  // Pixels that a point covers.
  area(layer) {
    const size = layer.size * this.ratio;
    return size < DISC ? 1.5 : Math.max(1, (Math.PI * size * size) / 4);
  }

  // The tone of each count in eighths, 0 to 1 at the peak; `peak` of a CSS pixel.
  tones(peak) {
    const most = Math.max(2, peak / this.ratio ** 2);
    return Float32Array.from({ length: TONES }, (_, i) =>
      Math.min(1, Math.log1p(i / 8) / Math.log1p(most)));
  }
}

// A function from a value to where its colour stands, in a layer.
function colourer(layer, look) {
  const plain = layer.plain.map((part) => part * 255);
  if (!layer.coloured) return () => plain;
  const colours = Array.from({ length: 256 }, (_, i) => look.ramp.subarray(4 * i, 4 * i + 3));
  const [low, high] = look.domain.map((end) => end * STEPS);
  const scale = 256 / (high - low);
  return (value) => {
    if (value === NOTHING) return plain;
    return colours[Math.max(0, Math.min(255, Math.floor((value - low) * scale)))];
  };
}

function add(sums, at, colour, weight) {
  sums[at] += colour[0] * weight;
  sums[at + 1] += colour[1] * weight;
  sums[at + 2] += colour[2] * weight;
  sums[at + 3] += weight;
}
