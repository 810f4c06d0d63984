// The tab's title: the room, and how much came while nobody looked.

/** Returns what sets the room and counts messages. */
export function mountTitle() {
  let room = '';
  let missed = 0;
  let timer = 0;

  function show() {
    timer = 0;
    document.title = `${missed > 0 ? `(${missed > 99 ? '99+' : missed}) ` : ''}#${room} · Chat room`;
  }

  document.addEventListener('visibilitychange', () => {
    if (document.hidden) return;
    missed = 0;
    show();
  });
  return {
    enter(name) {
      room = name;
      missed = 0;
      show();
    },
    received(count) {
      if (!document.hidden) return;
      missed += count;
      timer ||= setTimeout(show, 1_000);
    },
  };
}
