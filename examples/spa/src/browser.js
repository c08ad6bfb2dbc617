/* What the browser knows, as hooks: where the page is, and whether there is a network. */
import { useSyncExternalStore } from "react";

function watch(...events) {
  return (notify) => {
    for (const event of events) addEventListener(event, notify);
    return () => events.forEach((event) => removeEventListener(event, notify));
  };
}

const onHash = watch("hashchange");
const onNetwork = watch("online", "offline");

/** The view that the address names. Two links take no router: the browser keeps the history. */
export const useView = () => useSyncExternalStore(onHash, () => location.hash.slice(1));

export const useOnline = () => useSyncExternalStore(onNetwork, () => navigator.onLine);
