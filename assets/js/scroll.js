// Whether the end of the log is followed, and moving there.

// Closer to the end than this counts as being there; fingers and zoom levels are not exact.
const NEAR_PX = 56;

/** `changed(following)` is called when the reader leaves the end or comes back to it; `reading()` on every move elsewhere. */
export function mountScroll(log, { changed, reading, mayFollow }) {
  let following = true;
  let last = 0;

  const below = () => log.scrollHeight - log.scrollTop - log.clientHeight;

  function set(next) {
    if (next === following) return;
    following = next;
    changed(following);
  }

  function toEnd() {
    log.scrollTop = log.scrollHeight;
    last = log.scrollTop;
  }

  log.addEventListener('scroll', () => {
    const up = log.scrollTop < last;
    last = log.scrollTop;
    // Only going up leaves the end: content that grows below does not.
    // Being there is following, once nothing is left that waited.
    if (below() <= NEAR_PX) set(following || mayFollow());
    else if (up) set(false);
    if (!following) reading();
  }, { passive: true });

  // The keyboard comes up, the composer grows, a text is unfolded: the end stays the end.
  const sizes = new ResizeObserver(() => {
    if (following) toEnd();
  });
  sizes.observe(log);
  sizes.observe(log.firstElementChild);

  return {
    get following() {
      return following;
    },
    /** The end of what is there comes into reach. */
    nearEnd: () => below() < log.clientHeight,
    toEnd,
    /** Goes to the end and stays there. */
    follow() {
      set(true);
      toEnd();
    },
    /** Makes a change that shall not move what is being looked at, also at the end. */
    standStill(change) {
      set(false);
      change();
      set(below() <= NEAR_PX && mayFollow());
    },
    /** What was above is gone or came: what is read stays where it is. */
    shift(pixels) {
      log.scrollTop += pixels;
      last = log.scrollTop;
    },
  };
}
