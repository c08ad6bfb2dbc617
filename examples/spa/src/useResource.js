import { useCallback, useEffect, useState } from "react";
import { useOnline } from "./browser.js";
import { client } from "./client.js";
import { useWords } from "./words.js";

/** What the API answers: `data`, or `failed`; asked again in another language and with a network. */
export function useResource(path) {
  const { language } = useWords();
  const isOnline = useOnline();
  const [state, setState] = useState({ data: null, failed: false });

  const load = useCallback(async () => {
    try {
      const answer = await client.fetch(path, { headers: { "Accept-Language": language } });
      const data = answer.ok ? await answer.json() : null;
      setState((before) => ({ data: data ?? before.data, failed: !answer.ok }));
    } catch {
      setState(({ data }) => ({ data, failed: true }));
    }
  }, [path, language]);

  useEffect(() => {
    if (isOnline) load();
  }, [load, isOnline]);
  return { ...state, load };
}
