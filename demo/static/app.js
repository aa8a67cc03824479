// Which module stands in the address is shown; each makes its own content from the state served and the parameters.
import { address, ask, count, el } from "./lib.js";
import * as similarity from "./similarity.js";
import * as answers from "./answers.js";
import * as search from "./search.js";
import * as bias from "./bias.js";
import * as batches from "./batches.js";
import * as api from "./api.js";

const MODULES = { similarity, answers, search, bias, batches, api };
const main = document.getElementById("main");
let state = null;
let leave = null;

function show() {
  const [name, parameters] = address();
  if (location.hash && !(name in MODULES)) {
    if (location.hash === "#main") return;
  }
  const module = MODULES[name] ? name : "similarity";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#/${module}`) {
      link.setAttribute("aria-current", "page");
      const nav = link.parentElement; // scrollIntoView would move where the Tab key begins
      nav.scrollLeft = link.offsetLeft + link.offsetWidth - nav.offsetLeft - nav.clientWidth + 16;
    } else link.removeAttribute("aria-current");
  }
  leave?.();
  const title = document.querySelector(`nav a[href="#/${module}"]`).textContent;
  document.title = `${title} · pairstream demo`;
  main.replaceChildren();
  leave = MODULES[module].open(main, state, parameters) ?? null;
}

async function start() {
  try {
    state = await ask("/api/state");
  } catch (error) {
    main.replaceChildren(el("p", { class: "status wrong", role: "alert" }, error.message));
    return;
  }
  const encoders = state.encoders.map((one) => `${one.name} (${one.dimensions})`).join(", ");
  const corpus = state.corpus ? ` · corpus ${state.corpus.name}, ${count(state.corpus.texts)} texts` : "";
  document.getElementById("served").textContent = `Served: ${encoders}${corpus}`;
  window.addEventListener("hashchange", show);
  window.addEventListener("popstate", show);
  show();
}

start();
