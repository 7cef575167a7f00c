"use strict";
// The console works without this file; with it, pages are live, forms open in place, and the theme can be chosen.

const STALE_MS = 2000; // four missed ticks: shown well within three seconds
const UNANSWERED_MS = 4000; // a refresh takes longer, or fails
const CONNECT_MS = 10000; // a connection may take this long to open
const RETRY_MS = 700;
const REFRESH_MS = 2000; // amounts change without an event
const TYPING_MS = 5000; // nothing moves while the user is typing
const OLD_MS = 30000; // a page without a request, for any reason, is stale then
const QUIET_REFRESH_MS = 15000; // on pages that events change

const theme = {
  stored() { try { return localStorage.getItem("theme"); } catch { return null; } },
  apply(name) { if (name) { document.documentElement.dataset.theme = name; } },
  toggle() {
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    const name = dark ? "light" : "dark";
    theme.apply(name);
    try { localStorage.setItem("theme", name); } catch { /* this page only */ }
  },
};
theme.apply(theme.stored()); // before the first paint

// Changes `from` into `to` in place, so that focus, selection and open details stay.
function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || from.id !== to.id) {
    from.replaceWith(to.cloneNode(true));
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeValue !== to.nodeValue) { from.nodeValue = to.nodeValue; }
    return;
  }
  if (["INPUT", "SELECT", "DATALIST"].includes(from.nodeName)) { return; }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && name !== "open") { from.removeAttribute(name); }
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value && name !== "open") { from.setAttribute(name, value); }
  }
  const wanted = [...to.childNodes];
  for (const [at, child] of wanted.entries()) {
    let here = from.childNodes[at];
    if (child.id && here && here.id !== child.id) {
      const moved = [...from.children].find((one) => one.id === child.id);
      if (moved) { from.insertBefore(moved, here); here = moved; }
    }
    if (here) { morph(here, child); } else { from.append(child.cloneNode(true)); }
  }
  while (from.childNodes.length > wanted.length) { from.lastChild.remove(); }
}

const live = {
  tickAt: performance.now(),
  shownAt: performance.now(),
  connectingAt: null,
  unansweredAt: null, // the first refresh since the last that was answered
  askedAt: -Infinity,
  typedAt: -Infinity,
  head: null,
  seen: null,
  active: false,
  refreshing: false,
  leaving: false,

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${document.body.dataset.live}`);
    live.socket = socket;
    live.connectingAt = performance.now();
    socket.onmessage = (message) => {
      const wasStale = live.isStale();
      live.tickAt = performance.now();
      const tick = JSON.parse(message.data);
      live.seen = document.querySelector("main [data-follows=bots]") ? tick.bots : tick.head;
      live.show();
      live.refresh(wasStale);
    };
    socket.onclose = (end) => {
      if (end.code === 1008 && !live.leaving) { location.reload(); return; } // logged out elsewhere
      setTimeout(live.connect, RETRY_MS);
    };
  },

  isSilent: () => performance.now() - live.tickAt > STALE_MS,
  isUnanswered: () => live.unansweredAt !== null && performance.now() - live.unansweredAt > UNANSWERED_MS,
  isOld: () => performance.now() - live.shownAt > OLD_MS
    && !document.hidden && !document.querySelector("main form.order-form"),
  isStale: () => live.isSilent() || live.isUnanswered() || live.isOld(),

  show() {
    const stale = live.isStale();
    const seconds = Math.max(0, (performance.now() - live.shownAt) / 1000);
    document.body.classList.toggle("is-stale", stale);
    const age = document.getElementById("age");
    age.classList.toggle("live", !stale);
    const text = stale ? `Data ${seconds.toFixed(0)} s old` : `Live · data ${seconds.toFixed(0)} s old`;
    if (age.textContent !== text) { age.textContent = text; }
    const box = document.getElementById("stale");
    const why = live.isSilent() ? "the reconciler does not answer" : "the reconciler does not answer with this page";
    const warning = `STALE: ${why}. Nothing below is current. Reconnecting … `
      + "To halt without it: trading-ops halt --all --reason …";
    if (stale && box.textContent !== warning) { box.textContent = warning; }
    if (stale && box.hidden) {
      live.title = document.title;
      document.title = `STALE ${live.title}`;
    } else if (!stale && !box.hidden) {
      document.title = live.title;
    }
    box.hidden = !stale;
    const patience = live.socket.readyState === WebSocket.OPEN ? 2 * STALE_MS : CONNECT_MS;
    const since = Math.max(live.tickAt, live.connectingAt);
    if (live.isSilent() && live.socket.readyState < WebSocket.CLOSING && performance.now() - since > patience) {
      live.socket.onclose = live.socket.onmessage = null; // a dead peer does not answer a close for a minute
      live.socket.close();
      live.connect();
    }
  },

  async refresh(now) {
    const older = performance.now() - live.shownAt;
    const news = live.seen !== live.head;
    const pace = document.querySelector("main [data-pace]") ? REFRESH_MS : QUIET_REFRESH_MS;
    const typing = performance.now() - live.typedAt < TYPING_MS;
    if (live.refreshing || live.leaving) { return; }
    if (document.hidden || typing || document.querySelector("main form.order-form")) {
      live.unansweredAt = null; // no request is open, so none is unanswered
      return;
    }
    if (!now && !news && older < pace) { return; }
    const failed = live.unansweredAt !== null;
    if (failed && performance.now() - live.askedAt < REFRESH_MS) { return; }
    live.refreshing = true;
    live.askedAt = performance.now();
    live.unansweredAt ??= performance.now();
    const head = live.seen;
    try {
      const answer = await fetch(location.href, {
        headers: { "X-Console-Refresh": live.active ? "active" : "idle" },
        signal: AbortSignal.timeout(5000),
      });
      if (answer.status === 401) { location.reload(); return; }
      if (answer.status >= 500) { return; }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const main = page.getElementById("main");
      if (main) {
        morph(document.getElementById("main"), main);
        live.shownAt = performance.now();
        live.unansweredAt = null;
        live.head = head;
        live.active = false;
        live.show();
      }
    } catch { /* unansweredAt tells */ } finally { live.refreshing = false; }
  },
};

// A link to a form opens it in place; without this it is a page of its own.
async function openForm(link) {
  const dialog = document.getElementById("dialog");
  try {
    const answer = await fetch(link.href, { headers: { "X-Console-Refresh": "active" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const form = page.querySelector(".order-form");
    if (!form) { location.href = link.href; return; }
    dialog.replaceChildren(form);
    if (!dialog.open) { dialog.showModal(); }
    (form.querySelector("input:not([type=hidden]), select") || form.querySelector("a, button")).focus();
  } catch { location.href = link.href; }
}

document.addEventListener("input", () => { live.typedAt = performance.now(); });
document.addEventListener("submit", () => { live.leaving = true; });

document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) { return; }
  if (link.classList.contains("order")) {
    event.preventDefault();
    openForm(link);
  } else if (link.classList.contains("cancel") && link.closest("dialog")) {
    event.preventDefault();
    link.closest("dialog").close();
  }
});

document.addEventListener("DOMContentLoaded", () => {
  const toggle = document.getElementById("theme");
  if (toggle) { toggle.hidden = false; toggle.addEventListener("click", theme.toggle); }
  if (!document.body.dataset.live) { return; }
  for (const kind of ["keydown", "pointerdown"]) {
    document.addEventListener(kind, () => { live.active = true; });
  }
  document.addEventListener("keydown", (event) => {
    const field = document.querySelector("main form[role=search] input");
    if (event.key === "/" && field && !["INPUT", "SELECT", "TEXTAREA"].includes(event.target.nodeName)) {
      event.preventDefault();
      field.focus();
    }
  });
  live.connect();
  setInterval(live.show, 250);
  setInterval(() => {
    for (const one of document.querySelectorAll("time.countdown")) {
      const left = Math.round((Date.parse(one.dateTime) - Date.now()) / 1000);
      const text = left > 0 ? `in ${Math.floor(left / 3600)}:${String(Math.floor(left / 60) % 60).padStart(2, "0")}:${String(left % 60).padStart(2, "0")}` : "now";
      if (one.textContent !== text) { one.textContent = text; }
    }
  }, 1000);
});
