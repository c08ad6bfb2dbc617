import { useEffect } from "react";
import { Account } from "./Account.jsx";
import { useOnline, useView } from "./browser.js";
import { Devices } from "./Devices.jsx";
import { LogIn } from "./LogIn.jsx";
import { Button, Dialog } from "./parts.jsx";
import { useLogin } from "./useLogin.js";
import { useWords } from "./words.js";

// When a screen reader says how many seconds are left; each one would be too much.
const SPOKEN = [60, 30, 10, 5];

export function App() {
  const { isReady, isLoggedIn, login, confirmed, secondsLeft, logout } = useLogin();
  const { language, say, choose } = useWords();
  const isOnline = useOnline();
  const view = useView() === "devices" ? "devices" : "account";
  const other = language === "en" ? ["es", "Español"] : ["en", "English"];

  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);

  useEffect(() => {
    if (isOnline && confirmed === false) logout(); // the server is told as soon as it can be
  }, [isOnline]);

  let content = <p className="loading" role="status">{say("loading")}</p>;
  if (isLoggedIn) content = view === "devices" ? <Devices key={login} /> : <Account key={login} />;
  else if (isReady) content = <LogIn />;

  return (
    <>
      <div role="status">{!isOnline && <p className="banner">{say("offline")}</p>}</div>
      <header className="top">
        <p className="brand">
          <img src={`${import.meta.env.BASE_URL}icon.svg`} alt="" width="24" height="24" /> drf-logout
        </p>
        {isLoggedIn && (
          <nav>
            {["account", "devices"].map((name) => (
              <a key={name} href={`#${name}`} aria-current={name === view ? "page" : undefined}>
                {say(name)}
              </a>
            ))}
          </nav>
        )}
        <p className="who">
          <button type="button" className="link" lang={other[0]} onClick={() => choose(other[0])}>
            {other[1]}
          </button>
          {isLoggedIn && <Button kind="small" onPress={logout}>{say("logout")}</Button>}
        </p>
      </header>
      <main>{content}</main>
      {isLoggedIn && secondsLeft !== null && <StillThere seconds={secondsLeft} />}
    </>
  );
}

/** The last minute before a login ends for inactivity. */
function StillThere({ seconds }) {
  const { stay, logout } = useLogin();
  const { say } = useWords();
  const text = say("idleLeft", { seconds });
  const spoken = Math.min(...SPOKEN.filter((moment) => moment >= seconds));

  useEffect(() => {
    const before = document.title;
    return () => {
      document.title = before;
    };
  }, []);
  useEffect(() => {
    document.title = text; // for whoever has another tab before them
  }, [text]);

  return (
    <Dialog title={say("idle")} onClose={stay} role="alertdialog" aria-describedby="left">
      <p id="left" role="timer">{text}</p>
      <p className="visually-hidden" role="status">{say("idleLeft", { seconds: spoken })}</p>
      <div className="actions">
        <Button onPress={logout}>{say("logout")}</Button>
        <button type="button" className="button primary" onClick={stay}>{say("stay")}</button>
      </div>
    </Dialog>
  );
}
