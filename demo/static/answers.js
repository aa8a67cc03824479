// Asymmetric question answering: candidate answers ranked by how likely each is among those given.
import { ask, bar, el, encoderSelect, field, heading, later, remember, runner, say, statusLine, textList } from "./lib.js";

const QUERY = "Why is the sky blue?";
const ANSWERS = [
  "Air scatters light of short wavelengths more strongly than that of long ones.",
  "Blue is a colour that many people like.",
  "The sky is dark at night because the sun is below the horizon.",
  "The sea looks blue partly because it reflects what is above it.",
];

export function open(page, state, parameters) {
  const given = parameters.getAll("answer");
  const status = statusLine();
  const run = runner(status);
  const changed = later(250, rank);
  const query = el("textarea", { rows: 2, maxLength: state.limits.most_characters, oninput: changed, spellcheck: "false" });
  query.value = parameters.get("query") ?? QUERY;
  const answers = textList("Candidate answers", given.length ? given : ANSWERS, state.limits, changed);
  const encoder = encoderSelect(state, parameters.get("encoder"), rank);
  const list = el("ol", { class: "bars" });
  const note = el("p", { class: "hint" });

  page.append(...heading("Which answer fits the question?",
    "Question and answer need not look alike: an encoder trained on pairs puts what belongs together close."),
  el("div", { class: "columns" },
    el("form", { onsubmit: (event) => { event.preventDefault(); rank(); } },
      field("Question", query), answers.node, field("Encoder", encoder)),
    el("div", {}, el("h2", {}, "Likelihood among these answers"), note, status, list)));
  rank();

  function rank() {
    const texts = answers.values();
    remember("answers", { query: query.value, answer: texts, encoder: encoder.selectedIndex ? encoder.value : "" });
    if (!query.value.trim() || !texts.length) {
      list.replaceChildren();
      say(status, "Write a question and at least one answer.");
      return;
    }
    run(async (signal) => {
      const found = await ask("/api/answers", { query: query.value, answers: texts, encoder: encoder.value }, signal);
      list.replaceChildren(...found.ranking.map((one) =>
        bar(texts[one.number], `${(100 * one.likelihood).toFixed(1)} %  (${one.score.toFixed(3)})`, one.likelihood)));
      note.textContent = `Softmax of similarity × ${found.scale}, as in training; in brackets the similarity.`;
      say(status, "");
    });
  }
}
