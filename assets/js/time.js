// Times as people read them: in their own zone and language.

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });

/** `14:03` */
export function hoursAndMinutes(ms) {
  return clock.format(ms);
}

/** Day and time to the second. */
export function fullTime(ms) {
  return full.format(ms);
}

/** `Monday, 24 November`; never "today", which would be wrong after midnight. */
export function dayName(ms) {
  return day.format(ms);
}
