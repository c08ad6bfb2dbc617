/* Dialogs in place of the confirmation pages, and buttons that show that they are busy.
   Every page works without. Where anything is unexpected, a dialog gives way to its page. */
"use strict";

{
  const post = (form) =>
    fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      // Not followed: what the next page has to say is for the person to read.
      redirect: "manual",
    });

  const questionIn = async (response) => {
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    return page.querySelector("[data-confirm]");
  };

  const setBusy = (control, busy) => {
    if (!control) return;
    control.toggleAttribute("disabled", busy && control.localName === "button");
    if (busy) control.setAttribute("aria-busy", "true");
    else control.removeAttribute("aria-busy");
  };

  const submitOf = (form) => form.querySelector("[type=submit]");

  const fill = (dialog, question) => {
    dialog.replaceChildren(question);
    const field = question.querySelector("input:not([type=hidden], [hidden])");
    (field ?? submitOf(question) ?? question.querySelector("[data-cancel]")).focus();
  };

  const answer = async (dialog, form) => {
    const button = submitOf(form);
    const unreachable = form.querySelector("[data-unreachable]");
    setBusy(button, true);
    unreachable.hidden = true;
    try {
      const response = await post(form);
      if (response.type === "opaqueredirect") {
        location.assign(form.dataset.done);
        return;
      }
      const question = response.status < 500 || response.status === 503 ? await questionIn(response) : null;
      if (question) {
        fill(dialog, question);
        return;
      }
      if (response.status < 500) {
        location.assign(form.action);
        return;
      }
    } catch {
      // Nothing was answered.
    }
    setBusy(button, false);
    unreachable.hidden = false;
  };

  const open = async (link) => {
    const question = await questionIn(await fetch(link.href));
    if (!question) throw new Error("no question there");
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-labelledby", "confirm-title");
    dialog.addEventListener("close", () => {
      dialog.remove();
      link.focus();
    });
    dialog.addEventListener("click", (event) => {
      if (!event.target.closest("[data-cancel]")) return;
      event.preventDefault();
      dialog.close();
    });
    dialog.addEventListener("submit", (event) => {
      event.preventDefault();
      answer(dialog, event.target);
    });
    document.body.append(dialog);
    dialog.showModal();
    fill(dialog, question);
  };

  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (link.getAttribute("aria-busy")) return;
    setBusy(link, true);
    try {
      await open(link);
    } catch {
      location.assign(link.href);
    }
    setBusy(link, false);
  });

  document.addEventListener("submit", (event) => {
    if (!event.defaultPrevented) setBusy(submitOf(event.target), true);
  });

  // A page that comes back from the history is as it was left: busy.
  addEventListener("pageshow", () => {
    for (const control of document.querySelectorAll("[aria-busy]")) setBusy(control, false);
  });
}
