// Search and cluster: the nearest texts of the corpus, and the neighbourhood as a map; a point is searched from.
import { ask, colourOf, count, el, encoderSelect, field, heading, later, remember, runner, say, statusLine } from "./lib.js";
import { makeMap } from "./map.js";

const QUERY = "read a file line by line";
const POINTS = 300, HITS = 10;
const POLL = 1500;

export function open(page, state, parameters) {
  page.append(...heading("What lies near?", "Type, and see the nearest texts of the corpus by meaning, not by words. The map shows "
    + "their neighbourhood: texts that are alike lie together, and each group is named by the words that set it apart."));
  if (!state.corpus) {
    page.append(el("p", { class: "status" }, "There is no corpus to search: start the page with --corpus PATH."));
    return null;
  }
  const status = statusLine(), pointLine = el("p", { class: "point muted", role: "status" });
  const run = runner(status), runMap = runner(pointLine);
  const tags = Object.keys(state.corpus.datasets);
  const query = el("input", { type: "search", maxLength: state.limits.most_characters, autocomplete: "off", spellcheck: "false",
    oninput: later(250, () => search(false)) });
  const encoder = encoderSelect(state, parameters.get("encoder"), () => search(true));
  const list = el("ol", { class: "hits" });
  const progress = el("progress", { hidden: true, "aria-label": "Texts encoded" });
  const progressLine = el("p", { class: "hint" });
  const map = makeMap((point) => from(point.number, point.title), describe);
  let number = null, polling = null, gone = false;

  query.value = parameters.get("query") ?? (parameters.has("number") ? "" : QUERY);
  page.append(
    el("form", { role: "search", onsubmit: (event) => { event.preventDefault(); search(true); } },
      el("div", { class: "settings" }, field("Look for", query, { class: "field wide" }), field("Encoder", encoder))),
    progress, progressLine,
    el("div", { class: "columns" },
      el("section", { "aria-label": "Nearest texts" }, status, list),
      el("section", { "aria-label": "Map", class: "sticky beside" }, map.node, pointLine)));
  const given = parameters.get("number");
  if (given !== null && /^\d+$/.test(given)) from(Number(given), "");
  else search(false);
  poll();
  return () => { gone = true; clearTimeout(polling); map.leave(); };

  function asked() {
    return number === null ? { query: query.value } : { number };
  }

  function search(push) {
    number = null;
    keep(push);
    if (!query.value.trim()) {
      list.replaceChildren();
      say(status, "Type something to look for.");
      return;
    }
    find();
  }

  function from(chosen, title) {
    number = chosen;
    query.value = title;
    keep(true);
    find();
    window.scrollTo({ top: 0 });
  }

  function keep(push) {
    remember("search", { ...asked(), encoder: encoder.selectedIndex ? encoder.value : "" }, push);
  }

  function find() {
    const body = { ...asked(), encoder: encoder.value };
    run(async (signal) => {
      const found = await again(() => ask("/api/search", { ...body, hits: HITS }, signal));
      if (body.number !== undefined && found.query) query.value = oneLine(found.query);
      list.replaceChildren(...found.hits.map(show));
      const of = found.searched < found.texts ? `${count(found.searched)} of ${count(found.texts)}` : count(found.texts);
      say(status, `The ${found.hits.length} nearest of ${of} texts.`);
    });
    runMap(async (signal) => {
      map.show(await again(() => ask("/api/map", { ...body, points: POINTS }, signal)));
    });
  }

  /** While the corpus's first texts are encoded, the answer is to ask again. */
  async function again(work) {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (error.status !== 503 || gone) throw error;
        await new Promise((done) => setTimeout(done, POLL));
      }
    }
  }

  async function poll() {
    if (gone) return;
    try {
      const { corpus } = await ask("/api/state");
      const done = corpus.encoded[encoder.value] ?? 0;
      const wrong = corpus.errors[encoder.value];
      progress.hidden = done >= corpus.texts || Boolean(wrong);
      progress.max = corpus.texts;
      progress.value = done;
      progressLine.textContent = wrong ? `Encoding ended early: ${wrong}` : done >= corpus.texts ? ""
        : `Encoding the corpus, once: ${count(done)} of ${count(corpus.texts)} texts. What is encoded can be searched.`;
      if (done >= corpus.texts || wrong) return;
    } catch { /* the next search says it */ }
    polling = setTimeout(poll, POLL);
  }

  function show(hit) {
    const isCode = /^\s*(def|class|async def|@|import|from)\b|[{};]\s*$/m.test(hit.pieces.map((piece) => piece[0]).join(""));
    const text = el("pre", { class: isCode ? "" : "prose" }, hit.pieces.map(([piece, marked]) => marked ? el("mark", {}, piece) : piece),
      hit.characters > hit.pieces.reduce((sum, piece) => sum + [...piece[0]].length, 0) ? " …" : null);
    const tag = el("span", { class: "tag" }, hit.dataset);
    tag.style.color = colourOf(tags.indexOf(hit.dataset));
    const more = el("button", { type: "button", class: "quiet", hidden: true, "aria-expanded": "false", onclick: () => {
      const isOpen = text.classList.toggle("open");
      more.textContent = isOpen ? "Less" : "More";
      more.setAttribute("aria-expanded", String(isOpen));
    } }, "More");
    requestAnimationFrame(() => { more.hidden = text.scrollHeight <= text.clientHeight + 2; });
    return el("li", { class: "hit", "data-number": String(hit.number) },
      el("div", { class: "head" }, el("span", { class: "number" }, hit.score.toFixed(3)), tag, el("span", { class: "source" }, hit.source)),
      text, el("div", { class: "do" }, more, el("button", { type: "button", class: "quiet", onclick: () =>
        from(hit.number, oneLine(hit.pieces.map((piece) => piece[0]).join(""))) }, "Search from this")));
  }

  function describe(point) {
    pointLine.classList.remove("wrong");
    if (!point) {
      pointLine.replaceChildren("Point at a text to read it, click to search from it. + is the query.");
      return;
    }
    pointLine.replaceChildren(el("span", { class: "number" }, point.score.toFixed(3)), " ", el("b", {}, point.dataset), " ", point.title);
  }
}

const oneLine = (text) => text.split(/\s+/).join(" ").trim().slice(0, 200);
