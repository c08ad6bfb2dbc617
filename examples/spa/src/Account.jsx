import { Failed, Title } from "./parts.jsx";
import { useResource } from "./useResource.js";
import { useWords } from "./words.js";

export function Account() {
  const { say } = useWords();
  const { data, failed, load } = useResource("/api/v1/auth/user");
  return (
    <>
      <Title>{data ? say("welcome", { name: data.username }) : say("account")}</Title>
      <p className="lead">{say("welcomeLead")}</p>
      <Failed failed={failed} load={load} />
      {data && (
        <dl className="card pairs">
          <dt>{say("username")}</dt>
          <dd>{data.username}</dd>
          <dt>{say("email")}</dt>
          <dd>{data.email}</dd>
        </dl>
      )}
      <section className="card several">
        <h2>{say("inactivity")}</h2>
        <p className="detail">{say("idleOffer")}</p>
        <div className="actions">
          <a className="button" href="?idle=20">{say("idleTry")}</a>
        </div>
      </section>
    </>
  );
}
