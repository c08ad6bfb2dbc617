import { useRef, useState } from "react";
import { client } from "./client.js";
import { Button, Dialog, Failed, Title } from "./parts.jsx";
import { useLogin } from "./useLogin.js";
import { useResource } from "./useResource.js";
import { useWords } from "./words.js";

const SESSIONS = "/api/v1/auth/sessions";

export function Devices() {
  const { logout, logoutAll, logoutOthers } = useLogin();
  const { say } = useWords();
  // The demo lets a user have fifty logins, which are one page.
  const { data, failed, load } = useResource(SESSIONS);
  const [notice, setNotice] = useState(null);
  const [isAsking, setAsking] = useState(false);
  const list = useRef(null);

  /** Show what is left, and why; the button that was pressed may be gone. */
  async function tell(isDone, text) {
    setNotice(isDone ? { text } : { text: say("failed"), isBad: true });
    await load();
    list.current?.focus();
  }

  async function end({ id, current, device }) {
    if (current) return logout();
    const status = await client
      .fetch(`${SESSIONS}/${id}`, { method: "DELETE" })
      .then((answer) => answer.status, () => 0);
    // 404: it has ended meanwhile.
    return tell([204, 404].includes(status), say("done", { device: device || say("device") }));
  }

  async function endOthers() {
    const { confirmed } = await logoutOthers();
    await tell(confirmed, say("othersDone"));
  }

  const devices = data?.results ?? [];
  return (
    <>
      <Title>{say("devices")}</Title>
      <p className="lead">{say("devicesLead")}</p>
      <Failed failed={failed} load={load} />
      <div className="notices" role="status">
        {notice && <p className={notice.isBad ? "error" : ""}>{notice.text}</p>}
      </div>
      <ul className="devices" ref={list} tabIndex={-1} aria-label={say("devices")}>
        {devices.map((device) => (
          <Device key={device.id} {...device} onEnd={() => end(device)} />
        ))}
      </ul>
      <section className="card several">
        <h2>{say("several")}</h2>
        <p className="detail">{say("severalLead")}</p>
        <div className="actions">
          {devices.length > 1 && <Button onPress={endOthers}>{say("others")}</Button>}
          <button type="button" className="button danger" onClick={() => setAsking(true)}>
            {say("everywhere")}
          </button>
        </div>
      </section>
      {isAsking && (
        <Dialog title={say("everywhere")} onClose={() => setAsking(false)}>
          <p>{say("confirmAll")}</p>
          <div className="actions">
            <button type="button" className="button" onClick={() => setAsking(false)}>
              {say("cancel")}
            </button>
            <Button kind="danger" onPress={logoutAll}>{say("everywhere")}</Button>
          </div>
        </Dialog>
      )}
    </>
  );
}

function Device({ kind, current, device, ip_address, created_at, last_seen_at, onEnd }) {
  const { say, ago } = useWords();
  const name = device || say("device");
  return (
    <li className={`card device ${current ? "current" : ""}`}>
      <svg className="icon" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true">
        {kind === "browser" ? (
          <path d="M5 5h14a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2zM3 9h18" />
        ) : (
          <path d="M9 3h6a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H9a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2zM11 18h2" />
        )}
      </svg>
      <div className="text">
        <h2>
          {name} {current && <span className="badge">{say("current")}</span>}
        </h2>
        <div className="facts">
          <p>
            {ip_address && <span>{ip_address}</span>}
            <time dateTime={last_seen_at}>{say("lastSeen", { when: ago(last_seen_at) })}</time>
            <time dateTime={created_at}>{say("since", { when: ago(created_at) })}</time>
          </p>
        </div>
      </div>
      <Button onPress={onEnd}>
        {say("logout")}
        <span className="visually-hidden"> {name}</span>
      </Button>
    </li>
  );
}
