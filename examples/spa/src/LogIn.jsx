import { useEffect, useRef, useState } from "react";
import { Button, Dialog, Title } from "./parts.jsx";
import { useLogin } from "./useLogin.js";
import { useWords } from "./words.js";

const ERRORS = { 0: "unreached", 400: "wrong", 429: "tooMany" };

export function LogIn() {
  const { reason, confirmed, logIn, logout } = useLogin();
  const { say } = useWords();
  const [error, setError] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const [isTold, setTold] = useState(false);
  const form = useRef(null);
  const tell = () => setTold(true);

  async function submit(event) {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    setError(null);
    try {
      await logIn(Object.fromEntries(new FormData(form.current)));
    } catch ({ status }) {
      setError(ERRORS[status] ?? "failed");
      form.current.password.select();
    }
    setBusy(false);
  }

  useEffect(() => {
    if (isTold) form.current.username.focus();
  }, [isTold]);

  return (
    <div className="card narrow">
      <Title>{say("login")}</Title>
      <div role="status">
        {reason === "logout" && confirmed && <p className="good">{say("loggedOut")}</p>}
      </div>
      {confirmed === false && (
        <div className="error" role="alert">
          <p>{say("unconfirmed")}</p>
          <Button onPress={logout}>{say("retry")}</Button>
        </div>
      )}
      <form ref={form} onSubmit={submit}>
        <div className="field">
          <label htmlFor="username">{say("username")}</label>
          <input id="username" name="username" autoComplete="username" autoCapitalize="none" required />
        </div>
        <div className="field">
          <label htmlFor="password">{say("password")}</label>
          <input
            id="password"
            name="password"
            type="password"
            autoComplete="current-password"
            required
            aria-invalid={error === "wrong" || undefined}
            aria-describedby={error ? "error" : undefined}
          />
        </div>
        <div role="alert">{error && <p id="error" className="error">{say(error)}</p>}</div>
        <button className="button primary wide" aria-busy={isBusy || undefined}>{say("login")}</button>
      </form>
      {reason && reason !== "logout" && !isTold && (
        <Dialog title={say("ended")} onClose={tell}>
          <p>{say(`ended_${reason}`)}</p>
          <div className="actions">
            <button type="button" className="button primary" onClick={tell}>{say("login")}</button>
          </div>
        </Dialog>
      )}
    </div>
  );
}
