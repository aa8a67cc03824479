// Each module's route in words, with a request to try.
import { ask, el, heading } from "./lib.js";

export function open(page, state) {
  page.append(...heading("An API route for each module",
    "Everything the page shows comes from these routes. They take and give JSON; what goes wrong is one line under “error”."));
  const limits = Object.entries(state.limits).map(([name, value]) => `${name.replace("most_", "")} ${value.toLocaleString("en")}`);
  page.append(el("p", { class: "hint" }, `At most, in a request: ${limits.join(", ")}. `,
    el("a", { href: "/openapi.json" }, "openapi.json"), " says all fields."));
  for (const route of state.routes) page.append(describe(route));
}

function describe(route) {
  const address = `${location.origin}${route.path}`;
  const data = route.example ? ` -H 'Content-Type: application/json' -d '${JSON.stringify(route.example)}'` : "";
  const answer = el("pre", { class: "code", hidden: true, tabindex: "0", "aria-label": "Answer" });
  const run = el("button", { type: "button", onclick: async () => {
    answer.hidden = false;
    try {
      answer.textContent = JSON.stringify(await ask(route.path, route.example), null, 1);
    } catch (error) {
      answer.textContent = error.message;
    }
  } }, "Try it");
  return el("section", { class: "route", "data-path": route.path },
    el("code", {}, el("b", { class: "method" }, route.method), route.path),
    el("p", {}, route.does, " ", el("span", { class: "muted" }, `Gives ${route.gives}`)),
    el("pre", { class: "code", tabindex: "0", "aria-label": "Command" }, `curl ${address}${data}`), run, answer);
}
