// Lays zooming and hovering over the page's plots. Without it, the page is whole.
"use strict";

const NEAR = 28; // Pixels from a pointer within which a place shows its label.
const MOST = 40; // How far a plot can be zoomed into.

const table = JSON.parse(document.getElementById("turns").textContent);

function make(name, content, more = {}) {
  const made = Object.assign(document.createElement(name), more);
  made.textContent = content;
  return made;
}

function linesOf(row) {
  const [member, turn, start, stop, edge, source, score, ...values] = row;
  const from = edge === "" ? "" : edge === "fresh" ? ", fresh" : `, ${edge} of member ${source}`;
  return [
    `member ${member}, turn ${turn}${from}`,
    `score ${score} at step ${stop.toLocaleString("en")}`,
    ...values.map((value, nth) => `${table.names[nth]} ${value}`),
    `trained steps ${start.toLocaleString("en")} to ${stop.toLocaleString("en")}`,
  ];
}

// Labels with their places on one of a figure's canvases: axes show the same on each of them.
function move(labels, box) {
  const [left, top, right, bottom] = labels.boxes[0];
  const [across, down] = [(box[2] - box[0]) / (right - left), (box[3] - box[1]) / (bottom - top)];
  const place = (all, from, to, unit) => all?.map((it) => (it === null ? null : to + (it - from) * unit)) ?? null;
  return {
    ...labels, box,
    x: place(labels.x, left, box[0], across), y: place(labels.y, top, box[1], down),
    wide: place(labels.wide, 0, 0, across), tall: labels.tall * down,
  };
}

class Plot {
  constructor(figure, canvas, labels) {
    this.canvas = canvas;
    this.labels = labels;
    this.svg = canvas.querySelector("svg");
    const [x, y, width, height] = this.svg.getAttribute("viewBox").split(" ").map(Number);
    this.whole = { x, y, width, height };
    this.shown = { ...this.whole };
    this.tip = make("div", "", { className: "tip", hidden: true });
    this.canvas.append(this.tip);
    this.mark = document.createElementNS("http://www.w3.org/2000/svg", "g");
    this.mark.setAttribute("class", "mark");
    this.svg.append(this.mark);
    this.tools(figure);
    this.listen();
  }

  tools(figure) {
    const bar = make("div", "", { className: this.canvas.className.replace("canvas", "tools") });
    const part = table.part === null || this.labels?.turns == null ? "" : `, labels on ${table.part}`;
    bar.append(make("span", `click, then wheel to zoom and drag to move${part}`));
    for (const [sign, name, act] of [
      ["+", "Zoom in", () => this.zoom(1.5)],
      ["−", "Zoom out", () => this.zoom(1 / 1.5)],
      ["Reset", "Show the whole plot", () => this.reset()],
    ]) {
      const button = make("button", sign, { type: "button", title: name });
      button.setAttribute("aria-label", name);
      button.addEventListener("click", act);
      bar.append(button);
    }
    figure.append(bar);
    this.canvas.tabIndex = 0;
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("wheel", (event) => {
      // A page that is only being scrolled past is left alone.
      if (document.activeElement !== canvas && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(1.0015 ** -event.deltaY, this.at(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button === 0) this.held = { at: this.at(event), id: event.pointerId };
    });
    canvas.addEventListener("pointermove", (event) => (this.held ? this.drag(event) : this.hover(event)));
    canvas.addEventListener("pointerup", () => (this.held = null));
    canvas.addEventListener("pointercancel", () => (this.held = null));
    canvas.addEventListener("pointerleave", () => this.hide());
    canvas.addEventListener("dblclick", () => this.reset());
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const { width, height } = this.shown;
    const keys = {
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5),
      0: () => this.reset(), Escape: () => this.reset(),
      ArrowLeft: () => this.move(-width / 8, 0), ArrowRight: () => this.move(width / 8, 0),
      ArrowUp: () => this.move(0, -height / 8), ArrowDown: () => this.move(0, height / 8),
    };
    const zoomed = this.shown.width < this.whole.width;
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    // Arrows scroll the page as long as there is nowhere to move to.
    if (event.key.startsWith("Arrow") && !zoomed) return;
    event.preventDefault();
    keys[event.key]();
  }

  // Where an event is on the plot, in its own points.
  at(event) {
    return new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
  }

  zoom(factor, at = null) {
    const { x, y, width, height } = this.shown;
    const wide = Math.min(this.whole.width, Math.max(this.whole.width / MOST, width / factor));
    const part = wide / width;
    const fixed = at ?? { x: x + width / 2, y: y + height / 2 };
    this.show(fixed.x - (fixed.x - x) * part, fixed.y - (fixed.y - y) * part, wide, height * part);
  }

  move(right, down) {
    const { x, y, width, height } = this.shown;
    this.show(x + right, y + down, width, height);
  }

  drag(event) {
    const now = this.at(event);
    const { at, id } = this.held;
    if (this.shown.width >= this.whole.width) return;
    this.canvas.setPointerCapture(id);
    this.move(at.x - now.x, at.y - now.y);
  }

  reset() {
    const { x, y, width, height } = this.whole;
    this.show(x, y, width, height);
  }

  show(x, y, width, height) {
    const { whole } = this;
    const within = (value, least, most) => Math.min(Math.max(value, least), most);
    this.shown = {
      x: within(x, whole.x, whole.x + whole.width - width),
      y: within(y, whole.y, whole.y + whole.height - height),
      width, height,
    };
    const { x: left, y: top } = this.shown;
    this.svg.setAttribute("viewBox", `${left} ${top} ${width} ${height}`);
    this.canvas.classList.toggle("zoomed", width < whole.width);
    this.hide();
  }

  // The place nearest to a point on the plot, if one is near.
  nearest(at) {
    const { x, y, box, wide, tall } = this.labels;
    const [left, top, right, bottom] = box;
    const off = (from, to, reach) => Math.max(0, Math.abs(from - to) - reach);
    if (at.x < left - 4 || at.x > right + 4 || at.y < top - 4 || at.y > bottom + 4) return -1;
    const near = NEAR / this.svg.getScreenCTM().a;
    let [found, least] = [-1, y === null ? Infinity : near ** 2];
    for (let nth = 0; nth < x.length; nth++) {
      if (x[nth] === null || (y !== null && y[nth] === null)) continue;
      const [right, down] = [off(x[nth], at.x, wide?.[nth] ?? 0), y === null ? 0 : off(y[nth], at.y, tall)];
      const distance = right ** 2 + down ** 2;
      if (distance < least) [found, least] = [nth, distance];
    }
    return found;
  }

  hover(event) {
    const nth = this.labels === null ? -1 : this.nearest(this.at(event));
    if (nth < 0) return this.hide();
    const { lines, turns } = this.labels;
    const [first, ...rest] = lines === null ? linesOf(table.turns[turns[nth]]) : lines[nth];
    this.tip.replaceChildren(make("strong", first), ...rest.map((line) => make("div", line)));
    this.tip.hidden = false;
    const room = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - room.left, event.clientY - room.top];
    const over = x + 16 + this.tip.offsetWidth > room.width;
    this.tip.style.left = `${Math.max(0, over ? x - 12 - this.tip.offsetWidth : x + 16)}px`;
    this.tip.style.top = `${Math.max(0, Math.min(y + 14, room.height - this.tip.offsetHeight))}px`;
    this.point(nth);
  }

  // Mark the place with the label.
  point(nth) {
    const { x, y, box } = this.labels;
    const made = (name, attributes) => {
      const element = document.createElementNS(this.svg.namespaceURI, name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      return element;
    };
    const size = this.shown.width / this.whole.width;
    this.mark.replaceChildren(
      y === null
        ? made("line", { x1: x[nth], x2: x[nth], y1: box[1], y2: box[3] })
        : made("circle", { cx: x[nth], cy: y[nth], r: 4.5 * size }),
    );
  }

  hide() {
    this.tip.hidden = true;
    this.mark.replaceChildren();
  }
}

const plots = [...document.querySelectorAll("figure.plot")].flatMap((figure) => {
  const script = figure.querySelector("script");
  const labels = script === null ? null : JSON.parse(script.textContent);
  return [...figure.querySelectorAll(".canvas")].map(
    (canvas, nth) => new Plot(figure, canvas, labels?.boxes[nth] ? move(labels, labels.boxes[nth]) : null),
  );
});

for (const block of document.querySelectorAll(".code")) {
  const button = make("button", "Copy", { type: "button" });
  button.addEventListener("click", async () => {
    const code = block.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      // Where pages may not write to the clipboard, what is to be copied is selected at least.
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  block.append(button);
}

addEventListener("beforeprint", () => {
  for (const plot of plots) plot.reset();
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
