// The browser's storage, which may be forbidden, full, or hold what another version wrote: never an error.

function storage(which) {
  return {
    load(key, fallback) {
      try {
        return JSON.parse(globalThis[which].getItem(`chat-room.${key}`)) ?? fallback;
      } catch {
        return fallback;
      }
    },
    save(key, value) {
      try {
        globalThis[which].setItem(`chat-room.${key}`, JSON.stringify(value));
      } catch {
        // The page works without; it only forgets.
      }
    },
  };
}

/** Stays in this browser. */
export const lasting = storage('localStorage');

/** Stays with this tab, also when it is reloaded. Two tabs are two people. */
export const tab = storage('sessionStorage');
