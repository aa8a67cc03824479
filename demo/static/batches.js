// What is in a batch: its slots among the steps around it, what each pair learns from, and how the texts lie in rows.
import { ask, colour, colourOf, count, el, field, heading, later, remember, runner, say, sharpen, statusLine } from "./lib.js";

const POLICIES = { homogeneous: "homogeneous, then mixed", "v1-half": "two picks, half each", "v2-block": "one dataset for 4 steps",
  "flax-75-25": "75% one dataset, 25% row by row" };
const NUMBERS = { step: [0, 1e9, 0, "Step"], size: [2, 256, 64, "Pairs a batch"], slots: [1, 8, 2, "Slots a batch"],
  pairs: [1, 256, 16, "Pairs a pack"], rows: [1, 256, 16, "Rows a pack"], tokens: [8, 512, 128, "Tokens a row"] };
const ROWS_SHOWN = 12, OTHERS_NAMED = 8;

export function open(page, state, parameters) {
  page.append(...heading("What is in a batch?", "A batch is a few slots, each of one dataset, put together: texts of one dataset are hard to tell apart, "
    + "so they teach much, and those of the other slots keep the encoder from overfitting to one kind. This is the very batch that training reads."));
  const names = Object.keys(state.datasets);
  if (!names.length) {
    page.append(el("p", { class: "status" }, "There are no datasets to make batches of: start the page with --corpus FOLDER."));
    return null;
  }
  const status = statusLine();
  const run = runner(status);
  const changed = later(250, () => load());
  const number = (name) => {
    const [min, max, initial] = NUMBERS[name];
    const box = el("input", { type: "number", min: String(min), max: String(max), step: "1", inputmode: "numeric", oninput: changed });
    box.value = parameters.get(name) ?? initial;
    return box;
  };
  const boxes = Object.fromEntries(Object.keys(NUMBERS).map((name) => [name, number(name)]));
  const policy = el("select", { onchange: () => load() }, Object.entries(POLICIES).map(([value, text]) => el("option", { value }, text)));
  const mixture = el("select", { onchange: () => { take(state.mixtures[mixture.value]); load(); } },
    Object.keys(state.mixtures).map((name) => el("option", { value: name }, name)));
  const weights = Object.fromEntries(names.map((name) => [name,
    el("input", { type: "number", min: "0", step: "any", inputmode: "decimal", oninput: changed })]));
  const pictures = el("div", {});
  let selected = 0, redraw = () => {};

  if (parameters.get("mixture") in state.mixtures) mixture.value = parameters.get("mixture");
  take(state.mixtures[mixture.value]);
  for (const one of parameters.getAll("weight")) {
    const at = one.lastIndexOf(":");
    if (one.slice(0, at) in weights) weights[one.slice(0, at)].value = one.slice(at + 1);
  }
  if (parameters.get("policy") in POLICIES) policy.value = parameters.get("policy");

  const move = (by) => { boxes.step.value = Math.max(0, Number(boxes.step.value) + by); load(); };
  page.append(el("form", { onsubmit: (event) => { event.preventDefault(); load(); } },
    el("div", { class: "settings" },
      field("Mixture", mixture, { class: "wide" }), field("Policy", policy, { class: "wide" }),
      el("div", { class: "wide" }, el("div", { class: "row" }, field("Step", boxes.step, { class: "" }),
        el("button", { type: "button", "aria-label": "Step before", onclick: () => move(-1) }, "←"),
        el("button", { type: "button", "aria-label": "Next step", onclick: () => move(1) }, "→"))),
      field("Pairs a batch", boxes.size, { class: "" }), field("Slots a batch", boxes.slots, { class: "" })),
    el("details", {}, el("summary", {}, "Weights and packs"), el("div", { class: "settings" },
      names.map((name) => field(`Weight of ${name}`, weights[name], { class: "" })),
      ["pairs", "rows", "tokens"].map((name) => field(NUMBERS[name][3], boxes[name], { class: "" }))))),
  status, pictures);
  load();
  const resized = new ResizeObserver(() => redraw());
  resized.observe(pictures);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const recolour = () => load();
  dark.addEventListener("change", recolour);
  return () => { resized.disconnect(); dark.removeEventListener("change", recolour); };

  /** A mixture's weights into the fields; one whose weights follow a rule is asked for by its name. */
  function take(document) {
    const given = Object.fromEntries(document.datasets.map((entry) => [entry.name.replace(/\.jsonl\.gz$/, ""), entry.weight ?? 1]));
    for (const name of names) weights[name].value = given[name] ?? 0;
    policy.value = document.batch?.policy ?? "homogeneous";
    boxes.slots.value = document.batch?.slots ?? boxes.slots.value;
  }

  function load() {
    const values = Object.fromEntries(Object.entries(boxes).map(([name, box]) => [name, Math.round(Number(box.value))]));
    const datasets = names.map((name) => ({ name, weight: Number(weights[name].value) }));
    const rule = state.mixtures[mixture.value].weights !== undefined;
    const asked = rule ? mixture.value : { datasets, seed: state.mixtures[mixture.value].seed ?? 0,
      batch: { slots: values.slots, policy: policy.value } };
    remember("batches", { mixture: mixture.selectedIndex ? mixture.value : "", policy: policy.value === "homogeneous" ? "" : policy.value,
      weight: datasets.map((one) => `${one.name}:${one.weight}`),
      ...Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value === NUMBERS[name][2] ? "" : value])) });
    run(async (signal) => {
      const { slots, ...rest } = values;
      const found = await ask("/api/batch", { mixture: asked, ...rest }, signal);
      selected = Math.min(selected, found.rows.length - 1);
      draw(found);
      say(status, "");
    });
  }

  function draw(found) {
    const strip = drawStrip(found);
    const matrix = drawMatrix(found), packs = drawPacks(found), pairs = drawPairs(found);
    const chosen = el("div", { class: "chosen", role: "status" });
    function select(row, scroll = false) {
      selected = row;
      const one = found.rows[row];
      const masked = found.masked.filter(([mine]) => mine === row).length;
      chosen.replaceChildren(el("p", { class: "hint" }, dataset(one.dataset), ` row ${row} · ${one.tokens[0]} + ${one.tokens[1]} tokens`
        + (masked ? ` · ${masked} other ${masked === 1 ? "row is" : "rows are"} masked for it` : "")),
      el("span", { class: "label" }, "Anchor"), el("pre", { tabindex: "0" }, one.texts[0]),
      el("span", { class: "label" }, "Positive"), el("pre", { tabindex: "0" }, one.texts[1]));
      matrix.draw(row);
      packs.draw(row);
      pairs.mark(row);
      if (scroll) chosen.scrollIntoView({ block: "nearest" });
    }
    const dataset = (n) => { const chip = el("i", { class: "chip" }); chip.style.background = colourOf(n); return el("span", {}, chip, found.datasets[n]); };
    const inSlots = {};
    for (const slot of found.slots) inSlots[slot.dataset] = (inSlots[slot.dataset] ?? 0) + slot.rows;
    const around = [...new Set(found.steps.flatMap((one) => one.slots.map((slot) => String(slot.dataset))))]
      .filter((n) => !(n in inSlots)).slice(0, OTHERS_NAMED);
    const key = el("ul", { class: "key" }, Object.entries(inSlots).map(([n, rows]) => el("li", {}, dataset(Number(n)), `, ${rows} pairs`)),
      around.map((n) => el("li", { class: "muted" }, dataset(Number(n)))));
    pictures.replaceChildren(
      el("section", {}, el("h2", {}, `Steps ${found.steps[0].step} to ${found.steps.at(-1).step}`), strip, key),
      el("div", { class: "columns pair-of-pictures" },
        el("section", {}, el("h2", {}, "Who learns from whom"), el("div", { class: "picture" }, matrix.canvas), matrix.key),
        el("section", {}, el("h2", {}, "How the texts lie in rows"), el("div", { class: "picture" }, packs.canvas), packs.key)),
      chosen,
      el("section", {}, el("h2", {}, "The pairs"), pairs.node));
    for (const picture of [matrix, packs]) picture.canvas.addEventListener("click", (event) => {
      const row = picture.at(event);
      if (row !== null) select(row, true);
    });
    pairs.onselect = (row) => select(row);
    redraw = () => select(selected);
    select(selected);
  }

  function drawStrip(found) {
    const strip = el("div", { class: "strip" }, found.steps.map((one) => {
      const said = one.slots.slice(0, 6).map((slot) => `${found.datasets[slot.dataset]} ${slot.rows}`).join(", ");
      const button = el("button", { type: "button", title: `step ${one.step}: ${said}`, "aria-label": `step ${one.step}: ${said}`,
        onclick: () => { boxes.step.value = one.step; load(); } }, one.slots.map((slot) => {
        const part = el("span", {});
        part.style.flexGrow = slot.rows;
        part.style.background = colourOf(slot.dataset);
        return part;
      }));
      if (one.step === found.step) button.setAttribute("aria-current", "step");
      return button;
    }));
    return el("div", {}, strip, el("div", { class: "axis-line" }, el("span", {}, `step ${found.steps[0].step}`),
      el("span", {}, "each column is a batch; choose one"), el("span", {}, `step ${found.steps.at(-1).step}`)));
  }

  /** Anchors down, positives across: the diagonal is right, its dataset's square is hard, the rest is easy, some is ignored. */
  function drawMatrix(found) {
    const canvas = el("canvas", { role: "img", "aria-label": "Which pairs are negatives of which; the table below has the same pairs" });
    const size = found.rows.length;
    const masked = found.masked;
    let side = 0;
    function paint(row) {
      const width = canvas.clientWidth;
      if (!width) return;
      const [context] = sharpen(canvas, width);
      side = width / size;
      context.fillStyle = colour("raised");
      context.fillRect(0, 0, width, width);
      for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) {
        if (found.rows[i].dataset !== found.rows[j].dataset) continue;
        context.globalAlpha = 0.3;
        context.fillStyle = colourOf(found.rows[i].dataset);
        context.fillRect(j * side, i * side, side + 0.5, side + 0.5);
      }
      context.globalAlpha = 1;
      for (let i = 0; i < size; i++) {
        context.fillStyle = colourOf(found.rows[i].dataset);
        context.fillRect(i * side, i * side, Math.max(side, 2), Math.max(side, 2));
      }
      context.fillStyle = colour("ink");
      for (const [i, j] of masked) context.fillRect(j * side, i * side, Math.max(side, 3), Math.max(side, 3));
      context.strokeStyle = colour("ink");
      context.lineWidth = 1;
      context.strokeRect(0.5, row * side + 0.5, width - 1, Math.max(side - 1, 2));
    }
    const at = (event) => Math.min(size - 1, Math.max(0, Math.floor(event.offsetY / side)));
    const chip = (name, text, faint = false) => {
      const mark = el("i", {});
      mark.style.background = colour(name);
      if (faint) mark.style.opacity = 0.35;
      return el("li", {}, mark, text);
    };
    const key = el("ul", { class: "key" }, chip("c0", "its own positive"), chip("c0", "negatives of one dataset: hard", true),
      chip("raised", "of another: easy"), chip("ink", `masked as duplicates: ${count(masked.length)}`));
    return { canvas, key, at, draw: paint };
  }

  function drawPacks(found) {
    const canvas = el("canvas", { role: "img", "aria-label": "The texts of each pack in its rows of tokens" });
    const rows = found.packs.flat();
    const tokens = Math.round(Number(boxes.tokens.value));
    const gap = 5, packGaps = (found.packs.length - 1) * gap;
    const line = Math.max(4, Math.min(11, 420 / rows.length));
    const height = rows.length * line + packGaps;
    let width = 0;
    const top = (row) => row * line + Math.floor(row / found.packs[0].length) * gap;
    function paint(selectedRow) {
      if (!canvas.clientWidth) return;
      const [context, found_] = sharpen(canvas, height);
      width = found_;
      for (const [n, texts] of rows.entries()) {
        context.globalAlpha = 1;
        context.fillStyle = colour("raised");
        context.fillRect(0, top(n), width, line - 1);
        let at = 0;
        for (const text of texts) {
          const length = (text.tokens / tokens) * width;
          context.globalAlpha = text.side === 0 ? 0.95 : 0.5;
          context.fillStyle = text.row === selectedRow ? colour("ink") : colourOf(found.rows[text.row].dataset);
          context.fillRect(at, top(n), Math.max(length - 1, 0.7), line - 1);
          at += length;
        }
      }
      context.globalAlpha = 1;
    }
    function at(event) {
      const n = rows.findIndex((_, row) => event.offsetY >= top(row) && event.offsetY < top(row) + line);
      let from = 0;
      for (const text of rows[n] ?? []) {
        from += (text.tokens / tokens) * width;
        if (event.offsetX < from) return text.row;
      }
      return null;
    }
    const chip = (opacity, text, name = "c0") => {
      const mark = el("i", {});
      mark.style.background = colour(name);
      mark.style.opacity = opacity;
      return el("li", {}, mark, text);
    };
    const key = el("ul", { class: "key" }, chip(0.95, "anchor"), chip(0.5, "positive"),
      chip(1, `padding: ${(100 - 100 * found.filled).toFixed(0)} %`, "raised"), el("li", {}, `${count(found.shortened)} texts cut to fit`));
    return { canvas, key, at, draw: paint };
  }

  function drawPairs(found) {
    const made = { onselect: () => {} };
    const body = el("tbody", {});
    let shown = ROWS_SHOWN;
    const fill = () => body.replaceChildren(...found.rows.slice(0, shown).map((one, n) => {
      const chip = el("i", { class: "chip" });
      chip.style.background = colourOf(one.dataset);
      return el("tr", { tabindex: "0", "data-row": String(n), onclick: () => made.onselect(n),
        onkeydown: (event) => { if (event.key === "Enter") made.onselect(n); } },
      el("td", { class: "n" }, String(n)), el("td", { class: "d" }, chip, found.datasets[one.dataset]),
      el("td", {}, one.texts[0].slice(0, 160)), el("td", {}, one.texts[1].slice(0, 160)));
    }));
    fill();
    const more = el("button", { type: "button", hidden: found.rows.length <= ROWS_SHOWN, onclick: () => {
      shown = found.rows.length;
      more.hidden = true;
      fill();
      made.mark(selected);
    } }, `Show all ${found.rows.length}`);
    made.mark = (row) => {
      for (const line of body.children) line.setAttribute("aria-selected", String(line.dataset.row === String(row)));
    };
    made.node = el("div", {}, el("table", { class: "pairs" }, el("thead", {}, el("tr", {}, el("th", { class: "n" }, "row"),
      el("th", { class: "d" }, "dataset"), el("th", {}, "anchor"), el("th", {}, "positive"))), body), more);
    return made;
  }
}
