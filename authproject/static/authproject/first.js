/* The four requests of the first page, each shown as it is sent and as it is answered. */
"use strict";

{
  const forms = [...document.querySelectorAll(".steps form")];
  const [logIn] = forms;
  const said = document.querySelector("[data-said]");
  let token = null; // here alone: in no storage, and gone with the page

  const build = (form) => {
    const method = form.method.toUpperCase();
    const headers = { "Accept-Language": document.documentElement.lang };
    if (form !== logIn) headers.Authorization = `Bearer ${token}`;
    if (method === "GET") return { method, headers };
    headers["Content-Type"] = "application/json";
    return { method, headers, body: JSON.stringify(Object.fromEntries(new FormData(form))) };
  };

  // The cookie stays out of it: this page is a device of its own beside the browser's login.
  const send = async (url, request) => {
    try {
      const answer = await fetch(url, { ...request, credentials: "omit" });
      const text = await answer.text();
      return { ok: answer.ok, status: `${answer.status} ${answer.statusText}`.trim(), text };
    } catch {
      return { ok: false, status: "", text: "" };
    }
  };

  const parse = (text) => {
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  };

  const cut = (text) => text.replace(/(eyJ[\w-]{5})[\w.-]+([\w-]{4})/g, "$1…$2");

  const pretty = (text) => {
    const hide = (key, value) => (key === "password" ? "…" : value);
    return cut(parse(text) === null ? text : JSON.stringify(parse(text), hide, 2));
  };

  const http = (url, { method, headers, body }) => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${cut(value)}`);
    return [`${method} ${new URL(url).pathname}`, ...lines, ...(body ? ["", pretty(body)] : [])];
  };

  const show = (form, request, { ok, status, text }) => {
    const exchange = document.getElementById("exchange").content.cloneNode(true);
    const [asked, badge, answered] = ["request", "status", "answer"].map((name) =>
      exchange.querySelector(`[data-${name}]`),
    );
    asked.textContent = http(form.action, request).join("\n");
    badge.textContent = status;
    badge.classList.toggle("refused", !ok);
    badge.hidden = !status;
    answered.textContent = status ? pretty(text) : answered.dataset.unreachable;
    said.textContent = status || answered.dataset.unreachable;
    clear(form);
    form.after(exchange);
  };

  const clear = (form) => form.parentElement.querySelector(".exchange")?.remove();
  const allow = (form, allowed) => form.querySelector("button").toggleAttribute("disabled", !allowed);

  const run = async (form) => {
    const request = build(form);
    const answer = await send(form.action, request);
    show(form, request, answer);
    if (!answer.ok) return;
    const next = forms[forms.indexOf(form) + 1];
    if (form === logIn) {
      token = parse(answer.text).access_token;
      for (const later of forms.slice(1)) {
        clear(later);
        allow(later, false);
      }
    }
    if (next) allow(next, true);
  };

  for (const form of forms) {
    const button = form.querySelector("button");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (button.getAttribute("aria-busy")) return;
      button.setAttribute("aria-busy", "true");
      await run(form);
      button.removeAttribute("aria-busy");
    });
  }
  allow(logIn, true);
}
