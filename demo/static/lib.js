// What all modules use: elements, requests, the address, and small controls.

/** An element with properties and children; strings become text, never markup. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for pictures. */
export function svg(tag, properties = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** The answer of a route; its error's own words are thrown. */
export async function ask(path, body = null, signal = undefined) {
  const options = body === null ? { signal } : {
    method: "POST", signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer; is it still running?");
  }
  const found = await answer.json().catch(() => ({ error: `status ${answer.status}` }));
  if (!answer.ok) throw Object.assign(new Error(found.error), { status: answer.status });
  return found;
}

/** Runs one request at a time and forgets those that a newer one overtook; what happens stands in `status`. */
export function runner(status) {
  let running = null;
  return async (work) => {
    running?.abort();
    const own = (running = new AbortController());
    const waiting = setTimeout(() => say(status, "…"), 150);
    try {
      await work(own.signal);
      if (running === own && status.textContent === "…") say(status, "");
    } catch (error) {
      if (running === own && error.name !== "AbortError") say(status, error.message, true);
    } finally {
      clearTimeout(waiting);
    }
  };
}

export function say(status, text, isWrong = false) {
  status.textContent = text;
  status.classList.toggle("wrong", isWrong);
}

export function statusLine() {
  return el("p", { class: "status", role: "status" });
}

export function later(milliseconds, work) {
  let waiting;
  return (...given) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => work(...given), milliseconds);
  };
}

const LONGEST_ADDRESS = 16000;

/** Puts a module's state into the address, so that it can be kept and sent; a new entry of the history with `push`. */
export function remember(module, state, push = false) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== "" && one !== null && one !== undefined) parameters.append(name, one);
    }
  }
  const query = parameters.toString();
  const hash = `#/${module}${query ? `?${query}` : ""}`;
  if (hash.length > LONGEST_ADDRESS || hash === location.hash) return;
  history[push ? "pushState" : "replaceState"](null, "", hash);
}

/** (module, parameters) of the address. */
export function address() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return [path, new URLSearchParams(query)];
}

export function field(label, control, properties = {}) {
  control.id ||= `f${(field.count = (field.count || 0) + 1)}`;
  return el("div", { class: "field", ...properties }, el("label", { for: control.id }, label), control);
}

export function heading(title, lead) {
  return [el("h1", {}, title), el("p", { class: "lead" }, lead)];
}

export function encoderSelect(state, chosen, changed) {
  const names = state.encoders.map((encoder) => encoder.name);
  const select = el("select", { onchange: changed }, names.map((name) => el("option", { value: name }, name)));
  if (names.includes(chosen)) select.value = chosen;
  return select;
}

/** A list of texts that grows and shrinks; several lines pasted at once become several texts. */
export function textList(label, texts, limits, changed) {
  const list = el("ul", { class: "texts" });
  const values = () => [...list.querySelectorAll("textarea")].map((area) => area.value).filter((text) => text.trim());

  function add(text, focus = false, before = null) {
    if (list.children.length >= limits.most_texts) return;
    const area = el("textarea", {
      rows: 1, maxLength: limits.most_characters, "aria-label": label, spellcheck: "false", oninput: changed,
      onpaste: (event) => paste(event, area),
    });
    area.value = text;
    const remove = el("button", { type: "button", class: "quiet", "aria-label": "Remove this text", onclick: () => {
      const next = item.nextElementSibling ?? item.previousElementSibling;
      item.remove();
      next?.querySelector("textarea").focus();
      changed();
    } }, "×");
    const item = el("li", {}, area, remove);
    list.insertBefore(item, before);
    if (focus) area.focus();
  }

  function paste(event, area) {
    const lines = (event.clipboardData?.getData("text") ?? "").split(/\r?\n/).filter((line) => line.trim());
    if (lines.length < 2 || area.value.trim()) return;
    event.preventDefault();
    const next = area.closest("li").nextElementSibling;
    area.value = lines[0].slice(0, limits.most_characters);
    for (const line of lines.slice(1)) add(line.slice(0, limits.most_characters), false, next);
    changed();
  }

  for (const text of texts) add(text);
  const more = el("button", { type: "button", class: "quiet", onclick: () => add("", true) }, "+ Add a text");
  return { node: el("div", { class: "field" }, el("span", { class: "label" }, label), list, more), values };
}

/** One row of a list of bars: a text, a number, and a bar of so much of the whole. */
export function bar(text, number, share, properties = {}, kind = "") {
  const fill = el("div", { class: `fill ${kind}` });
  fill.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return el("li", properties,
    el("div", { class: "of" }, el("span", { class: "text" }, text), el("span", { class: "number" }, number)),
    el("div", { class: "track" }, fill));
}

export const COLOURS = 8;

/** A colour of the style sheet, as it is in light or dark. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

export function colourOf(number) {
  return colour(`c${number % COLOURS}`);
}

/** A canvas as sharp as the screen: [context, width, height] in CSS pixels. */
export function sharpen(canvas, height = canvas.clientHeight) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return [context, width, height];
}

export const count = (number) => number.toLocaleString("en");
