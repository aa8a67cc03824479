// Sentence similarity: one text against others, by every encoder, each sorted by its own scores.
import { ask, bar, el, field, heading, later, remember, runner, say, statusLine, textList } from "./lib.js";

const MAIN = "How do I learn to play the piano?";
const OTHERS = [
  "What is the best way to teach myself the piano?",
  "Which keyboard should a beginner buy?",
  "She performed a sonata in front of a large audience.",
  "How do I learn to play chess?",
  "The piano was too heavy to carry upstairs.",
];

export function open(page, state, parameters) {
  const given = parameters.getAll("text");
  const status = statusLine();
  const run = runner(status);
  const changed = later(250, compare);
  const text = el("textarea", { rows: 2, maxLength: state.limits.most_characters, oninput: changed, spellcheck: "false" });
  text.value = parameters.get("main") ?? MAIN;
  const others = textList("Compared with", given.length ? given : OTHERS, state.limits, changed);
  const cards = el("div", { class: "cards" });

  page.append(...heading("How alike are these texts?",
    "Each encoder turns a text into a vector; texts that mean the same lie in nearly the same direction."),
  el("div", { class: "columns" },
    el("form", { onsubmit: (event) => { event.preventDefault(); compare(); } }, field("Main text", text), others.node),
    el("div", {}, status, cards)));
  compare();

  function compare() {
    const texts = others.values();
    remember("similarity", { main: text.value, text: texts });
    if (!text.value.trim() || !texts.length) {
      cards.replaceChildren();
      say(status, "Write a main text and at least one to compare it with.");
      return;
    }
    run(async (signal) => {
      const found = await ask("/api/similarity", { main: text.value, others: texts }, signal);
      cards.replaceChildren(...found.encoders.map((encoder) => card(encoder, texts)));
      say(status, "");
    });
  }

  function card(encoder, texts) {
    const order = texts.map((_, n) => n).sort((a, b) => encoder.scores[b] - encoder.scores[a] || a - b);
    const cosine = encoder.similarity === "cosine";
    const greatest = cosine ? 1 : Math.max(...encoder.scores.map(Math.abs), 1e-9);
    const rows = order.map((n) => bar(texts[n], encoder.scores[n].toFixed(cosine ? 3 : 2), Math.abs(encoder.scores[n]) / greatest,
      { "data-text": String(n), onmouseenter: () => together(n), onmouseleave: () => together(null) },
      encoder.scores[n] < 0 ? "below" : ""));
    return el("section", { "data-encoder": encoder.name }, el("h2", {}, encoder.name),
      el("p", { class: "hint" }, cosine ? "cosine" : "dot product"), el("ol", { class: "bars" }, rows));
  }

  function together(number) {
    for (const row of cards.querySelectorAll("li")) row.classList.toggle("same", row.dataset.text === String(number));
  }
}
