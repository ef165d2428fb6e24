// Keeps a page up to date: fetches it every few seconds and replaces <main>, except where that would interrupt the
// reader. Without this script, the page reloads itself less often.
(() => {
  "use strict";
  const every = 1000 * Number(document.currentScript.dataset.every || 5);
  const live = document.getElementById("live");
  const label = document.createElement("span");
  const button = document.createElement("button");
  let paused = false;
  let lost = null; // when the server stopped answering

  button.type = "button";
  button.addEventListener("click", () => {
    paused = !paused;
    tell();
    if (!paused) refresh();
  });
  live.append(label, " ", button);

  const clock = (at) => at.toISOString().slice(11, 19) + " UTC";

  // Sets only what changed, since screen readers announce the label.
  function tell() {
    const said = paused ? "Paused" : lost ? "No answer since " + clock(lost) : "Live";
    const does = paused ? "Resume" : "Pause";
    if (label.textContent !== said) label.textContent = said;
    if (button.textContent !== does) button.textContent = does;
    live.className = paused ? "paused" : lost ? "lost" : "";
  }

  // An element's position in the page, which is the same in the next page if both have the same structure.
  function path(element, root) {
    const steps = [];
    for (let at = element; at !== root; at = at.parentElement) {
      steps.unshift([...at.parentElement.children].indexOf(at));
    }
    return steps;
  }
  const find = (steps, root) => steps.reduce((at, step) => at && at.children[step], root);

  function focused(main) {
    const element = document.activeElement;
    if (!main.contains(element) || element === main) return null;
    return {
      id: element.id,
      link: element.getAttribute("href"),
      steps: path(element, main),
      tag: element.tagName,
    };
  }

  function refocus(main, was) {
    if (!was) return;
    const isIt = (one) => one && one.tagName === was.tag && one.getAttribute("href") === was.link;
    const again =
      (was.id && document.getElementById(was.id)) ||
      [find(was.steps, main)].find(isIt) ||
      [...main.querySelectorAll("a[href]")].find(isIt);
    if (again) again.focus({ preventScroll: true });
  }

  function swap(main, next) {
    const was = focused(main);
    const opened = new Map([...main.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
    const places = [...main.querySelectorAll(".scroll")].map((one) => [one.scrollLeft, one.scrollTop]);
    next.querySelectorAll("details[id]").forEach((one) => {
      if (opened.has(one.id)) one.open = opened.get(one.id);
    });
    const fresh = document.importNode(next, true);
    main.replaceWith(fresh);
    fresh.querySelectorAll(".scroll").forEach((one, at) => {
      if (places[at]) [one.scrollLeft, one.scrollTop] = places[at];
    });
    refocus(fresh, was);
  }

  function isReading(main) {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && main.contains(selection.anchorNode);
  }

  async function refresh() {
    if (paused || document.hidden || isReading(document.getElementById("main"))) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok && answer.status !== 404) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const [main, next] = [document, page].map((of) => of.getElementById("main"));
      if (next && !paused && !isReading(main)) swap(main, next);
      lost = null;
    } catch {
      lost = lost || new Date();
    }
    tell();
  }

  tell();
  // one after the other, however long an answer takes
  (function again() {
    setTimeout(() => refresh().finally(again), every);
  })();
  document.addEventListener("visibilitychange", refresh);
})();
