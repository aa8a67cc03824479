// A map on a canvas: drag to move, wheel or pinch or buttons to zoom, arrow keys to walk from point to point.
import { colour, colourOf, el, sharpen } from "./lib.js";

const MARGIN = 34;
const NEAR = 14; // pixels from a point within which it is meant
const MOST_ZOOM = 40;

/** `chosen(point)`: searched from; `looked(point or null)`: under the pointer or reached by keys. */
export function makeMap(chosen, looked) {
  const canvas = el("canvas", { tabindex: "0", role: "application", "aria-label":
    "Map of the neighbourhood. Left and right walk through the texts from the nearest on, Enter searches from one, plus and minus zoom." });
  const button = (label, sign, work) => el("button", { type: "button", "aria-label": label, title: label, onclick: work }, sign);
  const node = el("div", { class: "map" }, canvas, el("div", { class: "zoom" },
    button("Zoom in", "+", () => zoomBy(1.6)), button("Zoom out", "−", () => zoomBy(1 / 1.6)), button("Whole map", "⤢", reset)));
  let found = { points: [], clusters: [], query: null };
  let scale = 1, x = 0, y = 0; // zoom, and the point of the map in the middle
  let current = null;
  const pointers = new Map();
  let moved = 0, spread = 0;

  const width = () => canvas.clientWidth, height = () => canvas.clientHeight;
  const place = (point) => [
    width() / 2 + (point.x - x) * scale * (width() / 2 - MARGIN),
    height() / 2 + (point.y - y) * scale * (height() / 2 - MARGIN),
  ];

  function draw() {
    if (!canvas.isConnected || !width()) return;
    const [context] = sharpen(canvas);
    context.clearRect(0, 0, width(), height());
    for (const point of [...found.points].reverse()) {
      const [px, py] = place(point);
      context.globalAlpha = 0.85;
      context.fillStyle = colourOf(point.cluster);
      circle(context, px, py, point.score >= nearest() ? 5.5 : 4);
    }
    context.globalAlpha = 1;
    if (found.query) drawQuery(context);
    drawNames(context);
    if (current) {
      const [px, py] = place(current);
      context.lineWidth = 2;
      context.strokeStyle = colour("ink");
      context.beginPath();
      context.arc(px, py, 8, 0, 7);
      context.stroke();
    }
  }

  const nearest = () => found.points[Math.min(9, found.points.length - 1)]?.score ?? Infinity;

  function circle(context, px, py, radius) {
    context.beginPath();
    context.arc(px, py, radius, 0, 7);
    context.fill();
  }

  function drawQuery(context) {
    const [px, py] = place(found.query);
    context.strokeStyle = colour("ink");
    context.lineWidth = 2.5;
    context.beginPath();
    for (const [dx, dy] of [[7, 0], [0, 7]]) {
      context.moveTo(px - dx, py - dy);
      context.lineTo(px + dx, py + dy);
    }
    context.stroke();
  }

  /** Names of clusters at their middles, each moved down while it would cover another. */
  function drawNames(context) {
    context.font = "600 13px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineJoin = "round";
    const taken = [];
    for (const [number, cluster] of found.clusters.entries()) {
      const text = cluster.words.join(" · ");
      if (!text) continue;
      const half = context.measureText(text).width / 2 + 4;
      let [px, py] = place(cluster);
      if (px < -half || px > width() + half || py < 0 || py > height()) continue;
      px = Math.max(half, Math.min(width() - half, px));
      while (taken.some((box) => Math.abs(box.px - px) < box.half + half && Math.abs(box.py - py) < 18)) py += 6;
      taken.push({ px, py, half });
      context.strokeStyle = colour("field");
      context.lineWidth = 5;
      context.strokeText(text, px, py);
      context.fillStyle = colourOf(number);
      context.fillText(text, px, py);
    }
  }

  function look(point) {
    if (point === current) return;
    current = point;
    looked(point);
    draw();
  }

  function zoomBy(factor, px = width() / 2, py = height() / 2) {
    const next = Math.max(1, Math.min(MOST_ZOOM, scale * factor));
    const [ox, oy] = [(px - width() / 2) / (width() / 2 - MARGIN), (py - height() / 2) / (height() / 2 - MARGIN)];
    x += ox / scale - ox / next;
    y += oy / scale - oy / next;
    scale = next;
    keepInside();
    draw();
  }

  function keepInside() {
    const most = 1 - 1 / scale + 0.15;
    x = Math.max(-most, Math.min(most, x));
    y = Math.max(-most, Math.min(most, y));
  }

  function reset() {
    scale = 1;
    x = y = 0;
    draw();
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    const [ex, ey] = [event.clientX - box.left, event.clientY - box.top];
    let best = null, least = NEAR * NEAR;
    for (const point of found.points) {
      const [px, py] = place(point);
      const distance = (px - ex) ** 2 + (py - ey) ** 2;
      if (distance < least) [best, least] = [point, distance];
    }
    return best;
  }

  canvas.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, event);
    canvas.setPointerCapture(event.pointerId);
    if (pointers.size === 1) moved = 0;
    spread = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) {
      look(at(event));
      canvas.style.cursor = current ? "pointer" : "grab";
      return;
    }
    pointers.set(event.pointerId, event);
    if (pointers.size === 1) {
      const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
      moved += Math.abs(dx) + Math.abs(dy);
      x -= dx / scale / (width() / 2 - MARGIN);
      y -= dy / scale / (height() / 2 - MARGIN);
      keepInside();
      draw();
    } else {
      const [a, b] = [...pointers.values()];
      const now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
      const box = canvas.getBoundingClientRect();
      moved = Infinity;
      if (spread) zoomBy(now / spread, (a.clientX + b.clientX) / 2 - box.left, (a.clientY + b.clientY) / 2 - box.top);
      spread = now;
    }
  });
  const lift = (event) => {
    const wasDown = pointers.delete(event.pointerId);
    spread = 0;
    if (!wasDown || event.type !== "pointerup" || pointers.size || moved > 6) return;
    const point = at(event);
    if (point && (event.pointerType === "mouse" || point === current)) chosen(point);
    else look(point); // a finger looks first; a second touch searches
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    zoomBy(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && found.points.length) {
      const next = found.points.indexOf(current) + step;
      look(found.points[(next + found.points.length) % found.points.length]);
    } else if (event.key === "Enter" && current) chosen(current);
    else if (event.key === "+" || event.key === "=") zoomBy(1.6);
    else if (event.key === "-") zoomBy(1 / 1.6);
    else if (event.key === "0") reset();
    else return;
    event.preventDefault();
  });

  const resized = new ResizeObserver(draw);
  resized.observe(canvas);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", draw);

  return {
    node,
    show(next) {
      found = next;
      current = null;
      looked(null);
      reset();
    },
    /** Where a point is drawn, in CSS pixels of the canvas. */
    place,
    points: () => found.points,
    leave() {
      resized.disconnect();
      dark.removeEventListener("change", draw);
    },
  };
}
