// Draws on a WebGL1 canvas: few points one by one, or a picture that count.js has made of many.

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
uniform float coloured, alpha, size;
varying float shade, inside;
void main() {
  float away = length(gl_PointCoord - 0.5) * (size + 1.0); // pixels
  float edge = clamp(0.5 * size + 0.5 - away, 0.0, 1.0);
  if (edge <= 0.0) discard;
  bool tinted = coloured > 0.5 && shade >= 0.0 && inside > 0.5;
  vec3 rgb = tinted ? texture2D(ramp, vec2(shade, 0.5)).rgb : plain;
  rgb = mix(rgb, paper, clamp(away - 0.5 * size + 1.5, 0.0, 1.0)); // a rim sets points apart
  float weight = edge * (coloured > 0.5 && inside < 0.5 ? 0.25 : 1.0);
  gl_FragColor = vec4(rgb, 1.0) * (alpha * weight);
}`;

const PICTURE_VERTEX = `
attribute vec2 corner;
varying vec2 at;
void main() { at = corner * vec2(0.5, -0.5) + 0.5; gl_Position = vec4(corner, 0.0, 1.0); }`;

const PICTURE_FRAGMENT = `
precision mediump float;
uniform sampler2D picture;
varying vec2 at;
void main() { gl_FragColor = texture2D(picture, at); }`;

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
    this.picture = program(gl, PICTURE_VERTEX, PICTURE_FRAGMENT);
    this.buffers = {};
    for (const name of ["place", "value", "index", "corner"]) this.buffers[name] = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers.corner);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 3, -1, -1, 3]), gl.STATIC_DRAW);
    this.ramp = texture(gl);
    this.pixels = texture(gl);
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

  clear() {
    const gl = this.gl;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  // Points one by one. `look`: see View.look. `share` of them is drawn, the first of each class.
  draw(camera, look, share) {
    const gl = this.gl;
    this.clear();
    for (const layer of look.layers) {
      const [from, to] = layer.kept ? [this.keptFrom, this.n] : [0, this.keptFrom];
      const n = Math.ceil((to - from) * share);
      if (n === 0) continue;
      this.usePoints(camera, look, layer);
      gl.drawElements(gl.POINTS, n, gl.UNSIGNED_INT, 4 * from);
    }
  }

  usePoints(camera, look, layer) {
    const { gl, points } = this;
    const ratio = this.canvas.width / camera.width;
    const s = 2 * camera.scale;
    gl.useProgram(points.program);
    gl.uniform2f(points.at.middle, ...camera.middle);
    gl.uniform2f(points.at.scale, s / camera.width, s / camera.height);
    gl.uniform2f(points.at.domain, ...look.domain);
    gl.uniform2f(points.at.range, ...(layer.kept ? look.range : [0, 2]));
    gl.uniform1f(points.at.size, layer.size * ratio);
    gl.uniform3f(points.at.plain, ...layer.plain);
    gl.uniform3f(points.at.paper, ...look.paper);
    gl.uniform1f(points.at.coloured, layer.coloured ? 1 : 0);
    gl.uniform1f(points.at.alpha, layer.alpha);
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

  // A picture of many points, see Counter.
  drawPicture({ pixels, size }) {
    const { gl, picture } = this;
    this.clear();
    gl.useProgram(picture.program);
    gl.bindTexture(gl.TEXTURE_2D, this.pixels);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, ...size, 0, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    const at = gl.getAttribLocation(picture.program, "corner");
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers.corner);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, 2, gl.FLOAT, false, 0, 0);
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

function texture(gl) {
  const made = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, made);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  return made;
}
