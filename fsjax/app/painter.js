// Painting on a photo: labels pixel for pixel at the photo's own size, whatever size it is shown at.

const OPACITY = 150; // of 255, of what is painted
const STEPS_BACK = 30;

/** What is painted on one photo: a label for each pixel, and the steps to take back. */
export class Painting {
  constructor(width, height) {
    Object.assign(this, { width, height, labels: new Uint8Array(width * height), steps: [], version: 0 });
  }

  /** Returns the labels row by row, in pairs of a label and how often it follows. */
  runs() {
    const { labels } = this, runs = [];
    for (let from = 0, to = 0; from < labels.length; from = to) {
      while (to < labels.length && labels[to] === labels[from]) to++;
      runs.push(labels[from], to - from);
    }
    return runs;
  }

  /** Returns how many pixels each label has. */
  counts() {
    if (this.counted?.version !== this.version) {
      const counts = new Array(256).fill(0);
      for (const label of this.labels) counts[label]++;
      this.counted = { version: this.version, counts };
    }
    return this.counted.counts;
  }

  /** Takes a class out, and moves those behind it up. */
  without(label) {
    this.labels.forEach((old, i) => { if (old >= label) this.labels[i] = old === label ? 0 : old - 1; });
    this.steps = [];
    this.version++;
  }
}

/** Paints on a canvas that lies over a photo. */
export class Painter {
  constructor({ stage, sheet, canvas, brush, colors, changed }) {
    Object.assign(this, { stage, sheet, canvas, brush, changed });
    const pixel = color => [...[1, 3, 5].map(i => parseInt(color.slice(i, i + 2), 16)), OPACITY];
    // A pixel for each label, of four bytes as a canvas has them.
    this.pixels = new Uint32Array(new Uint8Array([0, 0, 0, 0, ...colors.flatMap(pixel)]).buffer);
    Object.assign(this, { label: 1, tool: "brush", size: 30, zoom: 1, painting: null, stroke: null });
    canvas.addEventListener("pointerdown", event => this.#down(event));
    canvas.addEventListener("pointermove", event => this.#move(event));
    canvas.addEventListener("pointerup", () => this.#up());
    canvas.addEventListener("pointercancel", () => this.#up());
    canvas.addEventListener("pointerleave", () => { if (!this.stroke) brush.hidden = true; });
    canvas.addEventListener("blur", () => { brush.hidden = true; });
    canvas.addEventListener("keydown", event => this.#key(event));
    new ResizeObserver(() => this.fit()).observe(stage);
  }

  /** Shows a painting, to go on with. */
  open(painting) {
    this.#up();
    this.painting = painting;
    this.canvas.width = painting.width;
    this.canvas.height = painting.height;
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.at = { x: painting.width / 2, y: painting.height / 2 };
    this.fit();
    this.draw();
  }

  /** Sizes the sheet: the whole photo at a zoom of 1, not much above its own pixels if it is small. */
  fit() {
    if (!this.painting) return;
    const { width, height } = this.painting;
    const fitting = Math.min((this.stage.clientWidth || 300) / width, 0.68 * innerHeight / height, 8);
    this.scale = fitting * this.zoom;
    this.sheet.style.width = `${width * this.scale}px`;
    this.sheet.style.height = `${height * this.scale}px`;
  }

  /** Draws what is painted, or a part of it. */
  draw(box = { left: 0, top: 0, right: this.canvas.width, bottom: this.canvas.height }) {
    const { labels, width } = this.painting;
    const w = box.right - box.left, h = box.bottom - box.top;
    if (w <= 0 || h <= 0) return;
    const image = this.context.createImageData(w, h), shown = new Uint32Array(image.data.buffer);
    for (let y = 0, i = 0; y < h; y++) {
      for (let x = 0, from = (box.top + y) * width + box.left; x < w; x++) shown[i++] = this.pixels[labels[from + x]];
    }
    this.context.putImageData(image, box.left, box.top);
  }

  /** Takes the last step back. */
  undo() {
    const step = this.painting?.steps.pop();
    if (!step) return;
    const { box, old } = step, { labels, width } = this.painting, w = box.right - box.left;
    for (let y = box.top, from = 0; y < box.bottom; y++, from += w) {
      labels.set(old.subarray(from, from + w), y * width + box.left);
    }
    this.#done(box);
  }

  /** Takes all paint away; that can be undone, too. */
  clear() {
    const box = { left: 0, top: 0, right: this.painting.width, bottom: this.painting.height };
    const before = this.painting.labels.slice();
    this.painting.labels.fill(0);
    this.#remember(before, box);
    this.#done(box);
  }

  get #radius() { return Math.max(0.5, this.size / 2 / this.scale); }

  get #value() { return this.tool === "eraser" ? 0 : this.label; }

  #place(event) {
    const place = this.canvas.getBoundingClientRect();
    return {
      x: (event.clientX - place.left) * this.painting.width / place.width,
      y: (event.clientY - place.top) * this.painting.height / place.height,
    };
  }

  #down(event) {
    if (event.button !== 0 || !this.painting) return;
    try { this.canvas.setPointerCapture(event.pointerId); } catch { /* it has ended already */ }
    const at = this.#place(event);
    this.stroke = { before: this.painting.labels.slice(), box: null, points: [at] };
    if (this.tool !== "outline") this.#line(at, at);
  }

  #move(event) {
    if (!this.painting) return;
    const at = this.#place(event);
    this.#showBrush(at);
    if (!this.stroke) return;
    const from = this.stroke.points.at(-1);
    this.stroke.points.push(at);
    if (this.tool !== "outline") return this.#line(from, at);
    const { context } = this;
    context.strokeStyle = "#fff";
    context.lineWidth = Math.max(1, 2 / this.scale);
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(at.x, at.y);
    context.stroke();
  }

  #up() {
    const { stroke } = this;
    if (!stroke) return;
    this.stroke = null;
    if (this.tool === "outline") {
      stroke.box = this.#fill(stroke.points);
      this.draw();
    }
    if (stroke.box) {
      this.#remember(stroke.before, stroke.box);
      this.#done(stroke.box);
    }
  }

  #key(event) {
    const step = Math.max(1, this.#radius / 2);
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
    if (dx !== undefined) {
      this.at.x = Math.min(Math.max(this.at.x + dx * step, 0), this.painting.width);
      this.at.y = Math.min(Math.max(this.at.y + dy * step, 0), this.painting.height);
    } else if (event.key === " ") {
      this.stroke = { before: this.painting.labels.slice(), box: null, points: [] };
      this.#line(this.at, this.at);
      const { before, box } = this.stroke;
      this.stroke = null;
      if (box) { this.#remember(before, box); this.#done(box); }
    } else return;
    event.preventDefault();
    this.#showBrush(this.at);
  }

  #showBrush(at) {
    this.at = { ...at };
    const across = this.tool === "outline" ? 4 : 2 * this.#radius * this.scale;
    Object.assign(this.brush.style, {
      left: `${at.x * this.scale}px`, top: `${at.y * this.scale}px`, width: `${across}px`, height: `${across}px`,
    });
    this.brush.hidden = false;
  }

  // Labels all pixels whose centres lie no further than the radius from a line.
  #line(a, b) {
    const r = this.#radius, { width, height, labels } = this.painting, value = this.#value;
    const box = {
      left: Math.max(0, Math.floor(Math.min(a.x, b.x) - r)), right: Math.min(width, Math.ceil(Math.max(a.x, b.x) + r)),
      top: Math.max(0, Math.floor(Math.min(a.y, b.y) - r)), bottom: Math.min(height, Math.ceil(Math.max(a.y, b.y) + r)),
    };
    const dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
    for (let y = box.top; y < box.bottom; y++) {
      for (let x = box.left; x < box.right; x++) {
        const px = x + 0.5 - a.x, py = y + 0.5 - a.y;
        const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
        if ((px - along * dx) ** 2 + (py - along * dy) ** 2 <= r * r) labels[y * width + x] = value;
      }
    }
    this.draw(box);
    if (box.left < box.right && box.top < box.bottom) this.stroke.box = joined(this.stroke.box, box);
  }

  // Labels all pixels whose centres lie within an outline; returns the box that it takes.
  #fill(points) {
    const { width, height, labels } = this.painting, ys = points.map(p => p.y), xs = points.map(p => p.x);
    const box = {
      left: Math.max(0, Math.floor(Math.min(...xs))), right: Math.min(width, Math.ceil(Math.max(...xs))),
      top: Math.max(0, Math.floor(Math.min(...ys))), bottom: Math.min(height, Math.ceil(Math.max(...ys))),
    };
    for (let y = box.top; y < box.bottom; y++) {
      const cuts = points.flatMap((p, i) => {
        const q = points[(i + 1) % points.length], at = y + 0.5;
        return (p.y <= at) === (q.y <= at) ? [] : [p.x + (at - p.y) / (q.y - p.y) * (q.x - p.x)];
      }).sort((a, b) => a - b);
      for (let i = 0; i + 1 < cuts.length; i += 2) {
        const from = Math.max(0, Math.ceil(cuts[i] - 0.5)), to = Math.min(width, Math.ceil(cuts[i + 1] - 0.5));
        if (from < to) labels.fill(this.#value, y * width + from, y * width + to);
      }
    }
    return box.left < box.right && box.top < box.bottom ? box : null;
  }

  #remember(before, box) {
    const w = box.right - box.left, old = new Uint8Array(w * (box.bottom - box.top));
    for (let y = box.top, to = 0; y < box.bottom; y++, to += w) {
      const from = y * this.painting.width + box.left;
      old.set(before.subarray(from, from + w), to);
    }
    this.painting.steps = [...this.painting.steps, { box, old }].slice(-STEPS_BACK);
  }

  #done(box) {
    this.painting.version++;
    this.draw(box);
    this.changed();
  }
}

const joined = (a, b) => a ? {
  left: Math.min(a.left, b.left), right: Math.max(a.right, b.right),
  top: Math.min(a.top, b.top), bottom: Math.max(a.bottom, b.bottom),
} : b;
