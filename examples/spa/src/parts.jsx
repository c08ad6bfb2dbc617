/* What several views have: a title, a button that waits, a dialog, a failure. */
import { useEffect, useId, useLayoutEffect, useRef, useState } from "react";
import { useWords } from "./words.js";

let isFirst = true;

/** The heading of a view: it names the page, and takes the focus that the view before had. */
export function Title({ children }) {
  const heading = useRef(null);
  useEffect(() => {
    if (!isFirst) heading.current.focus();
    isFirst = false;
  }, []);
  useEffect(() => {
    document.title = `${children} · drf-logout`;
  }, [children]);
  return <h1 ref={heading} tabIndex={-1}>{children}</h1>;
}

/** A button whose work takes time: it says so, and is not pressed twice. */
export function Button({ onPress, kind = "", children, ...rest }) {
  const [isBusy, setBusy] = useState(false);
  const press = async () => {
    if (isBusy) return;
    setBusy(true);
    await onPress();
    setBusy(false);
  };
  return (
    <button type="button" className={`button ${kind}`} aria-busy={isBusy || undefined} onClick={press} {...rest}>
      {children}
    </button>
  );
}

/** A modal dialog, as long as it is rendered; the browser keeps the focus inside. */
export function Dialog({ title, onClose, children, ...rest }) {
  const dialog = useRef(null);
  const id = useId();
  useLayoutEffect(() => {
    const { current } = dialog;
    current.showModal();
    current.querySelector(".primary")?.focus();
    return () => current.close(); // before it is removed, so that the focus returns
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={onClose} {...rest}>
      <div className="card">
        <h1 id={id}>{title}</h1>
        {children}
      </div>
    </dialog>
  );
}

/** What to say where something was not answered. */
export function Failed({ failed, load }) {
  const { say } = useWords();
  return (
    <div role="alert">
      {failed && (
        <div className="error box">
          <p>{say("unreached")}</p>
          <Button onPress={load}>{say("retry")}</Button>
        </div>
      )}
    </div>
  );
}
