// The picture that is pointed at: clicks, boxes and a cross for the keyboard, and the masks over it.
// Places are fractions of the picture: x from its left edge, y from its top.

import { $, chosen, choose, say } from "./dom.js";

const DRAG_PX = 6;
const STEP = 0.02;
const DOT_PX = 7;

export class Stage {
  // ``onChange`` is told that something else is pointed at; ``onHover`` of a place under the mouse, or null.
  constructor({ onChange, onHover }) {
    Object.assign(this, { onChange, onHover });
    this.element = $("stage");
    this.canvas = $("overlay");
    this.clear();
    this.layers = [];
    this.hovered = null;
    this.cross = null;
    this.corner = null;
    this.drag = null;
    this.element.addEventListener("pointerdown", (event) => this.#down(event));
    this.element.addEventListener("pointermove", (event) => this.#move(event));
    this.element.addEventListener("pointerup", (event) => this.#up(event));
    this.element.addEventListener("pointercancel", () => { this.drag = null; this.draw(); });
    this.element.addEventListener("pointerleave", () => this.onHover(null));
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("blur", () => { this.cross = this.corner = null; this.draw(); });
    this.element.addEventListener("contextmenu", (event) => { if (event.shiftKey || event.altKey) event.preventDefault(); });
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  // ---- what is pointed at ----

  clear() {
    this.points = [];
    this.box = null;
    this.history = [];
  }

  get empty() { return !this.points.length && !this.box; }

  pointing() {
    const { points, box } = this;
    return {
      ...(points.length ? { points: points.map(({ x, y }) => [x, y]), labels: points.map(({ on }) => on) } : {}),
      ...(box ? { box } : {}),
    };
  }

  #remember() { this.history.push({ points: [...this.points], box: this.box }); }

  add(x, y, on) {
    if (!on && !this.box && !this.points.some((point) => point.on)) {
      this.#tell("First click the thing itself; then what does not belong to it.");
      return;
    }
    this.#remember();
    this.points.push({ x, y, on });
    this.#changed(on ? "Added a click on the thing." : "Added a click beside the thing.");
  }

  setBox(a, b) {
    const box = [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];
    if (box[0] === box[2] || box[1] === box[3]) return;
    this.#remember();
    this.box = box;
    this.#changed("Drew a box.");
  }

  undo() {
    const before = this.history.pop();
    if (!before) return;
    Object.assign(this, before);
    this.#changed("Undone.");
  }

  reset() {
    if (this.empty) return;
    this.#remember();
    this.points = [];
    this.box = null;
    this.#changed("Cleared.");
  }

  #tell(text) { say(text); this.onChange(text); }

  #changed(text) { this.draw(); say(text); this.onChange(""); }

  // ---- the mouse and fingers ----

  #place(event) {
    const frame = this.canvas.getBoundingClientRect();
    const inside = (value) => Math.min(1, Math.max(0, value));
    return { x: inside((event.clientX - frame.left) / frame.width), y: inside((event.clientY - frame.top) / frame.height) };
  }

  #down(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    const boxing = chosen("tool") === "box";
    this.drag = { from: this.#place(event), to: null, x: event.clientX, y: event.clientY, boxing };
    // A finger that moves scrolls the page, unless it was said that it draws.
    if (event.pointerType !== "touch" || boxing) this.element.setPointerCapture(event.pointerId);
    this.onHover(null);
  }

  #move(event) {
    const { drag } = this;
    if (!drag) {
      if (event.pointerType === "mouse") this.onHover(this.#place(event));
      return;
    }
    const far = Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > DRAG_PX;
    if ((far || drag.to) && (event.pointerType !== "touch" || drag.boxing)) {
      drag.to = this.#place(event);
      this.draw();
    }
  }

  #up(event) {
    const { drag } = this;
    this.drag = null;
    if (!drag) return;
    if (drag.to) this.setBox(drag.from, drag.to);
    else if (!drag.boxing) this.add(drag.from.x, drag.from.y, !(event.shiftKey || event.altKey || chosen("tool") === "away"));
    this.draw();
  }

  // ---- the keyboard ----

  #key(event) {
    if (event.ctrlKey || event.metaKey) return;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const cross = this.cross ?? { x: 0.5, y: 0.5 };
    if (event.key in moves) {
      const [dx, dy] = moves[event.key];
      const step = event.shiftKey ? STEP * 5 : STEP;
      const inside = (value) => Math.min(1, Math.max(0, Math.round(value * 1000) / 1000));
      this.cross = this.cross ? { x: inside(cross.x + dx * step), y: inside(cross.y + dy * step) } : cross;
      say(`${Math.round(this.cross.x * 100)} % from the left, ${Math.round(this.cross.y * 100)} % from the top`);
    } else if (event.key === "Enter" || event.key === " ") {
      this.cross = cross;
      if (chosen("tool") === "box") this.#corner(cross);
      else this.add(cross.x, cross.y, !(event.shiftKey || event.altKey || chosen("tool") === "away"));
    } else if (event.key === "b" || event.key === "B") {
      this.cross = cross;
      this.#corner(cross);
    } else if (event.key === "Backspace") {
      this.undo();
    } else if (event.key === "Escape" && (this.corner || !this.empty)) {
      this.corner = null;
      this.reset();
    } else {
      return;
    }
    event.preventDefault();
    this.draw();
  }

  #corner(place) {
    if (this.corner) {
      this.setBox(this.corner, place);
      this.corner = null;
      choose("tool", "add");
    } else {
      this.corner = place;
      say("First corner of the box; move the cross and press B again.");
    }
  }

  // ---- drawing ----

  setLayers(layers) { this.layers = layers; this.draw(); }

  setHovered(layer) { if (layer !== this.hovered) { this.hovered = layer; this.draw(); } }

  draw() {
    const { canvas } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    const ratio = devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    for (const layer of [...this.layers, this.hovered]) if (layer) pen.drawImage(layer, 0, 0, width, height);
    // What was pointed at is kept, also while the thing is said in another way.
    const pointing = chosen("mode") === "point";
    if (pointing && this.box) this.#drawBox(pen, this.box, []);
    if (this.drag?.to) this.#drawBox(pen, corners(this.drag.from, this.drag.to), [6, 4]);
    if (this.corner) this.#drawBox(pen, corners(this.corner, this.cross ?? this.corner), [6, 4]);
    if (pointing) for (const point of this.points) this.#drawPoint(pen, point);
    if (this.cross) this.#drawCross(pen, this.cross);
  }

  #drawBox(pen, [left, top, right, bottom], dashes) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const frame = [left * width, top * height, (right - left) * width, (bottom - top) * height];
    pen.setLineDash(dashes);
    for (const [colour, wide] of [["#fff", 4], ["#b8401a", 2]]) {
      Object.assign(pen, { strokeStyle: colour, lineWidth: wide });
      pen.strokeRect(...frame);
    }
    pen.setLineDash([]);
  }

  #drawPoint(pen, { x, y, on }) {
    const [u, v] = [x * this.canvas.clientWidth, y * this.canvas.clientHeight];
    pen.beginPath();
    pen.arc(u, v, DOT_PX, 0, 2 * Math.PI);
    Object.assign(pen, { fillStyle: on ? "#1d7a3c" : "#9c2a2a", strokeStyle: "#fff", lineWidth: 2 });
    pen.fill();
    pen.stroke();
    pen.beginPath();
    pen.moveTo(u - 3.5, v);
    pen.lineTo(u + 3.5, v);
    if (on) { pen.moveTo(u, v - 3.5); pen.lineTo(u, v + 3.5); }
    pen.stroke();
  }

  #drawCross(pen, { x, y }) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    for (const [colour, wide] of [["#000", 3], ["#fff", 1]]) {
      Object.assign(pen, { strokeStyle: colour, lineWidth: wide });
      pen.beginPath();
      pen.moveTo(x * width, 0);
      pen.lineTo(x * width, height);
      pen.moveTo(0, y * height);
      pen.lineTo(width, y * height);
      pen.stroke();
    }
  }
}

function corners(a, b) {
  return [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];
}
