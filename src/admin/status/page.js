(() => {
  "use strict";
  const POLL_MS = 2000, POLL_MAX_MS = 60000, ANSWER_MS = 10000;
  const byId = (id) => document.getElementById(id);
  document.documentElement.classList.add("js");

  const say = (text) => { byId("said").textContent = text; };

  const select = (element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };

  // Browsers give the clipboard to https and to this machine alone; elsewhere the older way may still work.
  const copy = async (element) => {
    try {
      await navigator.clipboard.writeText(element.textContent);
      return true;
    } catch {
      select(element);
      return document.execCommand("copy");
    }
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const done = await copy(byId(button.dataset.copy));
    say(done ? "Copied" : "Selected: copy it with your keyboard");
    button.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; say(""); }, 2000);
  });

  // Changes what differs and nothing else, so that focus, selection and what was opened stay.
  const morph = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType === Node.TEXT_NODE && fresh.nodeType === Node.TEXT_NODE) {
      old.data = fresh.data;
      return;
    }
    if (old.nodeName !== fresh.nodeName || old.nodeType !== Node.ELEMENT_NODE) {
      old.replaceWith(document.importNode(fresh, true));
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const before = [...old.childNodes], after = [...fresh.childNodes];
    after.forEach((child, at) => {
      if (before[at]) morph(before[at], child);
      else old.append(document.importNode(child, true));
    });
    before.slice(after.length).forEach((child) => child.remove());
  };

  const load = async (address) => {
    const answer = await fetch(address, {
      headers: { Accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (!answer.ok) throw new Error(String(answer.status));
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };

  const lost = byId("lost");
  if (!lost) return;
  let wait = POLL_MS, timer = 0, lastSeen = Date.now();

  const refresh = async () => {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      const fresh = await load("status");
      for (const part of fresh.querySelectorAll("[data-live]")) {
        const old = byId(part.id);
        if (old) morph(old, part);
      }
      lost.hidden = true;
      wait = POLL_MS;
      lastSeen = Date.now();
    } catch {
      const since = new Date(lastSeen).toLocaleTimeString();
      lost.textContent = `Cannot reach larder. What is shown here is from ${since}.`;
      lost.hidden = false;
      wait = Math.min(wait * 2, POLL_MAX_MS);
    }
    timer = setTimeout(refresh, wait);
  };
  document.addEventListener("visibilitychange", refresh);
  timer = setTimeout(refresh, wait);

  const form = byId("choose");
  const choose = async (event) => {
    event.preventDefault();
    const address = `./?${new URLSearchParams(new FormData(form))}`;
    try {
      const fresh = await load(address);
      morph(byId("lines"), fresh.getElementById("lines"));
      history.replaceState(null, "", address);
    } catch {
      location.assign(address);
    }
  };
  form.addEventListener("change", choose);
  form.addEventListener("submit", choose);
})();
