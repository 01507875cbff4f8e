// Points on a WebGL1 canvas. Many points are first counted, pixel by pixel, and the counts then
// toned, so that a million show their density in light and dark; few are drawn one by one.

const VERTEX = `
attribute vec2 place;
attribute float value;
uniform vec2 middle, scale, domain, range;
uniform float size;
varying float shade, inside;
void main() {
  gl_Position = vec4((place * (65535.0 / 65534.0) - middle) * scale, 0.0, 1.0);
  float share = value * (65535.0 / 65534.0);
  shade = share > 1.000007 ? -1.0 : clamp((share - domain.x) / (domain.y - domain.x), 0.0, 1.0);
  inside = share >= range.x - 0.000008 && share <= range.y + 0.000008 ? 1.0 : 0.0;
  gl_PointSize = size + 1.0; // room for an edge that fades over one pixel
}`;

const FRAGMENT = `
precision highp float;
uniform sampler2D ramp;
uniform vec3 plain, paper;
uniform float coloured, alpha, size, rim;
varying float shade, inside;
void main() {
  float away = length(gl_PointCoord - 0.5) * (size + 1.0); // pixels
  float edge = clamp(0.5 * size + 0.5 - away, 0.0, 1.0);
  if (edge <= 0.0) discard;
  bool tinted = coloured > 0.5 && shade >= 0.0 && inside > 0.5;
  vec3 rgb = tinted ? texture2D(ramp, vec2(shade, 0.5)).rgb : plain;
  rgb = mix(rgb, paper, rim * clamp(away - 0.5 * size + 1.5, 0.0, 1.0));
  float weight = edge * (coloured > 0.5 && inside < 0.5 ? 0.25 : 1.0);
  gl_FragColor = vec4(rgb, 1.0) * (alpha * weight);
}`;

const SCREEN_VERTEX = `
attribute vec2 corner;
varying vec2 at;
void main() { at = corner * 0.5 + 0.5; gl_Position = vec4(corner, 0.0, 1.0); }`;

// What a pixel counted, as one colour: the mean of the colours, the opacity by the logarithm.
// `deep` is what the colour goes to where most points are.
const TONE_FRAGMENT = `
precision highp float;
uniform sampler2D counted;
uniform float peak, faint, full, deepens;
uniform vec3 deep;
varying vec2 at;
void main() {
  vec4 sum = texture2D(counted, at);
  if (sum.a <= 0.0) discard;
  float tone = clamp(log(1.0 + sum.a) / log(1.0 + peak), 0.0, 1.0);
  float opacity = min(sum.a, 1.0) * mix(faint, full, tone);
  vec3 rgb = mix(sum.rgb / sum.a, deep, deepens * tone * tone);
  gl_FragColor = vec4(rgb, 1.0) * opacity;
}`;

const HALF_FLOAT = 0x8d61; // of OES_texture_half_float

class Painter {
  // Throws where there is no WebGL, or none that can count beyond 65,536 points.
  constructor(canvas) {
    this.canvas = canvas;
    const gl = canvas.getContext("webgl", { antialias: false, alpha: true });
    if (!gl || !gl.getExtension("OES_element_index_uint")) throw new Error("no WebGL");
    this.gl = gl;
    this.setUp();
  }

  setUp() {
    const gl = this.gl;
    gl.getExtension("OES_element_index_uint");
    this.points = program(gl, VERTEX, FRAGMENT);
    this.tone = program(gl, SCREEN_VERTEX, TONE_FRAGMENT);
    this.buffers = {};
    for (const name of ["place", "value", "index", "corner"]) this.buffers[name] = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers.corner);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 3, -1, -1, 3]), gl.STATIC_DRAW);
    this.ramp = texture(gl, gl.LINEAR);
    this.counts = this.countingTarget();
  }

  // A target that adds up numbers far above 1; null where the hardware has none.
  countingTarget() {
    const gl = this.gl;
    const able = gl.getExtension("OES_texture_half_float");
    if (!able || !gl.getExtension("EXT_color_buffer_half_float")) return null;
    const target = { texture: texture(gl, gl.NEAREST), frame: gl.createFramebuffer(), size: "" };
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 4, 4, 0, gl.RGBA, HALF_FLOAT, null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.frame);
    gl.framebufferTexture2D(
      gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, target.texture, 0);
    const whole = gl.checkFramebufferStatus(gl.FRAMEBUFFER) === gl.FRAMEBUFFER_COMPLETE;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    return whole ? target : null;
  }

  setPlaces(places) {
    this.fill("place", this.gl.ARRAY_BUFFER, places);
  }

  setValues(values) {
    this.fill("value", this.gl.ARRAY_BUFFER, values);
  }

  setOrder(index, keptFrom) {
    this.keptFrom = keptFrom;
    this.n = index.length;
    this.fill("index", this.gl.ELEMENT_ARRAY_BUFFER, index);
  }

  fill(name, target, numbers) {
    this.gl.bindBuffer(target, this.buffers[name]);
    this.gl.bufferData(target, numbers, this.gl.STATIC_DRAW);
  }

  // `pixels`: 256 colours as RGBA bytes.
  setRamp(pixels) {
    const gl = this.gl;
    gl.bindTexture(gl.TEXTURE_2D, this.ramp);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  }

  // `look`: see View.look. `share` of the points is drawn, the first ones of each class.
  draw(camera, look, share) {
    const gl = this.gl;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND);
    const counted = look.counted && this.counts;
    for (const layer of look.layers) {
      const [from, to] = layer.kept ? [this.keptFrom, this.n] : [0, this.keptFrom];
      const n = Math.ceil((to - from) * share);
      if (n > 0) this.layer(camera, look, layer, from, n, counted ? 1 / share : 0);
    }
  }

  // One class of points. `each`: what a point counts, or 0 where points are drawn one by one.
  layer(camera, look, layer, from, n, each) {
    const gl = this.gl;
    if (each) this.beginCounting();
    this.usePoints(camera, look, layer, each);
    gl.blendFunc(gl.ONE, each ? gl.ONE : gl.ONE_MINUS_SRC_ALPHA);
    gl.drawElements(gl.POINTS, n, gl.UNSIGNED_INT, 4 * from);
    if (each) this.finishCounting(look, layer);
  }

  usePoints(camera, look, layer, each) {
    const { gl, points } = this;
    const ratio = this.canvas.width / camera.width;
    const s = 2 * camera.scale;
    gl.useProgram(points.program);
    gl.uniform2f(points.at.middle, camera.x, camera.y);
    gl.uniform2f(points.at.scale, s / camera.width, s / camera.height);
    gl.uniform2f(points.at.domain, ...look.domain);
    gl.uniform2f(points.at.range, ...(layer.kept ? look.range : [0, 2]));
    gl.uniform1f(points.at.size, layer.size * ratio);
    gl.uniform3f(points.at.plain, ...layer.plain);
    gl.uniform3f(points.at.paper, ...look.paper);
    gl.uniform1f(points.at.coloured, layer.coloured ? 1 : 0);
    gl.uniform1f(points.at.alpha, each || layer.alpha);
    gl.uniform1f(points.at.rim, !each && layer.size >= 6 ? 1 : 0);
    gl.bindTexture(gl.TEXTURE_2D, this.ramp);
    this.bind("place", points.program, 2);
    this.bind("value", points.program, 1);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.buffers.index);
  }

  bind(name, of, width) {
    const gl = this.gl;
    const at = gl.getAttribLocation(of, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, width, gl.UNSIGNED_SHORT, true, 0, 0);
  }

  beginCounting() {
    const { gl, counts, canvas } = this;
    const size = `${canvas.width}x${canvas.height}`;
    if (counts.size !== size) {
      gl.bindTexture(gl.TEXTURE_2D, counts.texture);
      gl.texImage2D(
        gl.TEXTURE_2D, 0, gl.RGBA, canvas.width, canvas.height, 0, gl.RGBA, HALF_FLOAT, null);
      counts.size = size;
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, counts.frame);
    gl.clear(gl.COLOR_BUFFER_BIT);
  }

  finishCounting(look, layer) {
    const { gl, tone } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.useProgram(tone.program);
    gl.uniform1f(tone.at.peak, look.peak);
    gl.uniform1f(tone.at.faint, layer.faint);
    gl.uniform1f(tone.at.full, layer.full);
    gl.uniform1f(tone.at.deepens, layer.coloured ? 0 : 0.75);
    gl.uniform3f(tone.at.deep, ...look.deep);
    gl.bindTexture(gl.TEXTURE_2D, this.counts.texture);
    const at = gl.getAttribLocation(tone.program, "corner");
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers.corner);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, 2, gl.FLOAT, false, 0, 0);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  // Gives the graphics memory back; browsers hold only a few contexts at a time.
  leave() {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

function program(gl, vertex, fragment) {
  const made = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw new Error(gl.getProgramInfoLog(made));
  }
  const at = {};
  for (let i = 0; i < gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS); i++) {
    const { name } = gl.getActiveUniform(made, i);
    at[name] = gl.getUniformLocation(made, name);
  }
  return { program: made, at };
}

function texture(gl, filter) {
  const made = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, made);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, filter);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, filter);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  return made;
}
