// Points by WebGL: one draw call for all of them, without generated code, so that the strict policy of the page holds.

const VERTEX = `#version 300 es
in vec2 place;
in vec4 paint;
uniform vec2 centre;
uniform vec2 scale;
uniform float size;
out vec4 colour;
void main() {
  gl_Position = vec4((place - centre) * scale, 0.0, 1.0);
  gl_PointSize = paint.a > 0.0 ? size : 0.0;
  if (paint.a <= 0.0) gl_Position = vec4(9.0, 9.0, 9.0, 1.0);
  colour = paint;
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 colour;
out vec4 shown;
void main() {
  float d = length(gl_PointCoord - 0.5) * 2.0;
  float edge = fwidth(d);
  float a = colour.a * (1.0 - smoothstep(1.0 - edge, 1.0, d));
  if (a < 0.01) discard;
  shown = vec4(colour.rgb * a, a);
}`;
const CELLS = 256;
const REST = 150;
const SLOW = 26;
const QUICK = 20;
const LEAST = 8000;

/** Points in a canvas, with a view that moves. */
export class Scatter {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Float32Array} xy  x and y of each point, about -1 to 1
   * @throws if the browser has no WebGL 2
   */
  constructor(canvas, xy) {
    this.canvas = canvas;
    this.xy = xy;
    this.n = xy.length / 2;
    this.view = { x: 0, y: 0, zoom: 1 };
    this.colours = new Uint8Array(4 * this.n).fill(255);
    const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
    if (!gl) throw new Error("This browser has no WebGL 2.");
    this.gl = gl;
    this.program = link(gl);
    this.places = attribute(gl, this.program, "place", xy, 2, gl.FLOAT, false);
    this.paints = attribute(gl, this.program, "paint", this.colours, 4, gl.UNSIGNED_BYTE, true);
    this.uniforms = Object.fromEntries(["centre", "scale", "size"].map((name) => [name, gl.getUniformLocation(this.program, name)]));
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.cells = cells(xy);
    this.frame = 0;
    // A slow machine draws a random part of the points while the map moves, and all of them once it rests.
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, shuffled(this.n), gl.STATIC_DRAW);
    this.part = this.n;
    this.moved = 0;
    this.before = 0;
  }

  /** Draw at the next frame of a movement. */
  move() {
    this.moved = performance.now();
    clearTimeout(this.rest);
    this.rest = setTimeout(() => { this.moved = 0; this.before = 0; this.draw(); }, REST);
    this.draw();
  }

  /** Choose how many points the next frame of a movement draws, by how long the last one took. */
  paced(now) {
    if (!this.moved) return this.n;
    const took = now - this.before;
    if (this.before && took < 500) {
      if (took > SLOW) this.part = Math.max(LEAST, Math.floor(this.part * 0.7));
      else if (took < QUICK) this.part = Math.min(this.n, Math.ceil(this.part * 1.1));
    }
    this.before = now;
    return Math.min(this.part, this.n);
  }

  /** Set the colour of each point: 4 bytes, and alpha 0 hides it. */
  paint(colours) {
    this.colours = colours;
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.paints);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, colours, this.gl.DYNAMIC_DRAW);
    this.draw();
  }

  /** Return the scale of both axes: the square from -1 to 1 fits the canvas. */
  scale() {
    const { clientWidth: w, clientHeight: h } = this.canvas, fit = (0.94 * Math.min(w, h) * this.view.zoom);
    return { x: fit / w, y: fit / h };
  }

  /** Draw at the next frame. */
  draw() {
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.drawNow(); });
  }

  drawNow() {
    const { gl, canvas } = this, ratio = Math.min(devicePixelRatio || 1, 2);
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.useProgram(this.program);
    const scale = this.scale();
    gl.uniform2f(this.uniforms.centre, this.view.x, this.view.y);
    gl.uniform2f(this.uniforms.scale, scale.x, scale.y);
    gl.uniform1f(this.uniforms.size, ratio * this.size());
    gl.drawElements(gl.POINTS, this.paced(performance.now()), gl.UNSIGNED_INT, 0);
    this.ondraw?.();
  }

  /** The diameter of a point in pixels: smaller where there are many, larger when zoomed in. */
  size() {
    return Math.min(14, Math.max(2.6, (170 / Math.sqrt(this.n)) * Math.sqrt(this.view.zoom) * 1.4));
  }

  /** Return the pixel of a place. */
  pixel(x, y) {
    const scale = this.scale();
    return [((x - this.view.x) * scale.x + 1) * this.canvas.clientWidth / 2, (1 - (y - this.view.y) * scale.y) * this.canvas.clientHeight / 2];
  }

  /** Return the place of a pixel. */
  place(left, top) {
    const scale = this.scale();
    return [(2 * left / this.canvas.clientWidth - 1) / scale.x + this.view.x, (1 - 2 * top / this.canvas.clientHeight) / scale.y + this.view.y];
  }

  /** Zoom by a factor about a pixel. */
  zoomAt(factor, left = this.canvas.clientWidth / 2, top = this.canvas.clientHeight / 2) {
    const before = this.place(left, top);
    this.view.zoom = Math.min(400, Math.max(0.5, this.view.zoom * factor));
    const after = this.place(left, top);
    this.view.x += before[0] - after[0];
    this.view.y += before[1] - after[1];
    this.move();
  }

  /** Move by pixels. */
  pan(left, top) {
    const scale = this.scale();
    this.view.x -= 2 * left / this.canvas.clientWidth / scale.x;
    this.view.y += 2 * top / this.canvas.clientHeight / scale.y;
    this.move();
  }

  /** Return the visible point nearest to a pixel, or -1 if none is within the radius. */
  nearest(left, top, radius = 8) {
    const [x, y] = this.place(left, top), [far] = this.place(left + radius, top), reach = Math.abs(far - x);
    let best = -1, least = reach * reach;
    this.cells.within(x - reach, y - reach, x + reach, y + reach, (point) => {
      if (!this.colours[4 * point + 3]) return;
      const dx = this.xy[2 * point] - x, dy = this.xy[2 * point + 1] - y, d = dx * dx + dy * dy;
      if (d < least) { least = d; best = point; }
    });
    return best;
  }

  /** Return the visible points inside a polygon of pixels. */
  inside(polygon) {
    const places = polygon.map(([left, top]) => this.place(left, top)), found = [];
    const xs = places.map((it) => it[0]), ys = places.map((it) => it[1]);
    this.cells.within(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), (point) => {
      if (this.colours[4 * point + 3] && contains(places, this.xy[2 * point], this.xy[2 * point + 1])) found.push(point);
    });
    return found;
  }

  /** Return the visible points in view. */
  inView() {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    return this.inside([[0, 0], [w, 0], [w, h], [0, h]]);
  }
}

/** Return whether a polygon contains a place (even-odd rule). */
export function contains(polygon, x, y) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i, i += 1) {
    const [xi, yi] = polygon[i], [xj, yj] = polygon[j];
    if ((yi > y) !== (yj > y) && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

/** Return the numbers below n in an order that is the same each time and looks random. */
export function shuffled(n) {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  let state = 12345;
  for (let i = n - 1; i > 0; i -= 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 4294967296) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Sort points into cells of a grid. */
export function cells(xy) {
  const n = xy.length / 2, low = -1.1, span = 2.2;
  const cell = (value) => Math.min(CELLS - 1, Math.max(0, Math.floor(((value - low) / span) * CELLS)));
  const first = new Uint32Array(CELLS * CELLS + 1), order = new Uint32Array(n);
  for (let i = 0; i < n; i += 1) first[cell(xy[2 * i + 1]) * CELLS + cell(xy[2 * i]) + 1] += 1;
  for (let i = 0; i < CELLS * CELLS; i += 1) first[i + 1] += first[i];
  const next = first.slice();
  for (let i = 0; i < n; i += 1) { const at = cell(xy[2 * i + 1]) * CELLS + cell(xy[2 * i]); order[next[at]] = i; next[at] += 1; }
  return {
    within(x0, y0, x1, y1, call) {
      for (let row = cell(y0); row <= cell(y1); row += 1) {
        for (let at = first[row * CELLS + cell(x0)]; at < first[row * CELLS + cell(x1) + 1]; at += 1) call(order[at]);
      }
    },
  };
}

function link(gl) {
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error("The browser cannot draw the map by WebGL.");
  return program;
}

function attribute(gl, program, name, data, size, type, normalized) {
  const buffer = gl.createBuffer(), at = gl.getAttribLocation(program, name);
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
  gl.enableVertexAttribArray(at);
  gl.vertexAttribPointer(at, size, type, normalized, 0, 0);
  return buffer;
}
