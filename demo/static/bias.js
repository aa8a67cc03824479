// Gender bias: one example of the user's, and the preference of an encoder over many occupations.
import { ask, bar, el, encoderSelect, field, heading, later, remember, runner, say, statusLine, svg } from "./lib.js";

const EXAMPLE = {
  anchor: "The nurse said they would be late.",
  female: "The nurse said she would be late.",
  male: "The nurse said he would be late.",
};
const ROW = 19, NAMES = 128, TOP = 26;

export function open(page, state, parameters) {
  const status = statusLine(), plotStatus = statusLine();
  const run = runner(status), runPlot = runner(plotStatus);
  const changed = later(250, compare);
  const texts = Object.fromEntries(Object.entries(EXAMPLE).map(([name, example]) => {
    const area = el("textarea", { rows: 1, maxLength: state.limits.most_characters, oninput: changed, spellcheck: "false" });
    area.value = parameters.get(name) ?? example;
    return [name, area];
  }));
  const encoder = encoderSelect(state, parameters.get("encoder"), () => { compare(); plot(); });
  const result = el("div", {});
  const figure = el("figure", {});
  figure.style.margin = "0";

  page.append(...heading("Does the encoder prefer a gender?",
    "A sentence that tells no gender is compared with its female and its male version. An encoder without bias puts both equally near."),
  el("div", { class: "columns" },
    el("form", { onsubmit: (event) => { event.preventDefault(); compare(); } },
      field("Without gender", texts.anchor), field("Female version", texts.female), field("Male version", texts.male),
      field("Encoder", encoder), status, result),
    el("section", { "aria-label": "Occupations" }, el("h2", {}, "Over occupations"),
      el("p", { class: "hint" }, "Mean difference of the cosines, female minus male, with its 95% interval. "
        + "Choose an occupation to try it in the sentences."), plotStatus, figure)));
  compare();
  plot();
  const resized = new ResizeObserver(() => figure.found && draw(figure.found));
  resized.observe(figure);
  return () => resized.disconnect();

  function compare() {
    const body = Object.fromEntries(Object.entries(texts).map(([name, area]) => [name, area.value]));
    remember("bias", { ...body, encoder: encoder.selectedIndex ? encoder.value : "" });
    if (Object.values(body).some((text) => !text.trim())) {
      result.replaceChildren();
      say(status, "Write a sentence and its two versions.");
      return;
    }
    run(async (signal) => {
      const found = await ask("/api/bias", { ...body, encoder: encoder.value }, signal);
      const verdict = found.nearer === "neither" ? "Neither version is nearer."
        : `The ${found.nearer} version is nearer, by ${Math.abs(found.difference).toFixed(4)}.`;
      result.replaceChildren(
        el("ul", { class: "versions bars" }, ["female", "male"].map((one) =>
          bar(`${one} version`, found[one].toFixed(4), found[one], {}, one))),
        el("p", { class: "verdict" }, verdict));
      say(status, "");
    });
  }

  function plot() {
    runPlot(async (signal) => {
      if (!figure.found) say(plotStatus, "Encoding the sentences of some forty occupations …");
      figure.found = await ask(`/api/bias/occupations?encoder=${encodeURIComponent(encoder.value)}`, null, signal);
      draw(figure.found);
      say(plotStatus, "");
    });
  }

  function draw(found) {
    const width = figure.clientWidth;
    const rows = [found.all, ...found.occupations];
    const reach = Math.max(...rows.map((row) => Math.max(Math.abs(row.low), Math.abs(row.high), Math.abs(row.difference)))) * 1.05 || 1;
    const place = (value) => NAMES + (width - NAMES - 8) * (value / reach + 1) / 2;
    const height = TOP + ROW * (rows.length + 0.6);
    const picture = svg("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, height: String(height), role: "group",
      "aria-label": `Preference over ${found.occupations.length} occupations by ${found.encoder}` });
    const axis = svg("g", { class: "axis" });
    const text = (at, y, words, more = {}) => {
      const made = svg("text", { x: String(at), y: String(y), ...more });
      made.textContent = words;
      return made;
    };
    axis.append(text(place(-reach), 13, "← male nearer"), text(place(reach), 13, "female nearer →", { "text-anchor": "end" }),
      text(place(0), 13, "0", { "text-anchor": "middle" }),
      svg("line", { class: "zero", x1: place(0), x2: place(0), y1: TOP - 7, y2: height }));
    picture.append(axis);
    for (const [n, row] of rows.entries()) {
      const y = TOP + ROW * (n === 0 ? 0.5 : n + 1.0);
      const side = row.low > 0 ? "female" : row.high < 0 ? "male" : "either";
      const name = n === 0 ? "all occupations" : row.occupation;
      const said = `${name}: ${row.difference.toFixed(4)}, 95% from ${row.low.toFixed(4)} to ${row.high.toFixed(4)}; `
        + `female nearer in ${Math.round(100 * row.female_preferred)}% of ${row.examples} sentences`;
      const group = svg("g", n === 0 ? { "data-occupation": "all" } : {
        class: "occupation", tabindex: "0", role: "button", "aria-label": said, "data-occupation": row.occupation,
        onclick: () => fill(row.occupation),
        onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); fill(row.occupation); } },
      });
      const title = svg("title");
      title.textContent = said;
      group.append(title, svg("rect", { class: "hover", x: "0", y: String(y - ROW / 2), width: String(width), height: String(ROW), rx: "3" }),
        text(NAMES - 10, y + 4, name, { "text-anchor": "end", ...(n === 0 ? { "font-weight": "600" } : {}) }),
        svg("line", { class: side, x1: place(row.low), x2: place(row.high), y1: y, y2: y, "stroke-width": "1.5", "stroke-opacity": ".55" }),
        svg("circle", { class: side, cx: place(row.difference), cy: y, r: n === 0 ? "5" : "4" }));
      picture.append(group);
    }
    figure.replaceChildren(picture);
  }

  function fill(occupation) {
    texts.anchor.value = `The ${occupation} said they would be late.`;
    texts.female.value = `The ${occupation} said she would be late.`;
    texts.male.value = `The ${occupation} said he would be late.`;
    compare();
  }
}
