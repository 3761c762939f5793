// Elements. Whatever comes from the API goes in as text: names and titles are written by
// tenants, and the page's policy (Trusted Types) refuses markup made of text anyway.

export const $ = (id) => document.getElementById(id);

// h makes an element; a property that begins with "on" is a listener.
export function h(tag, props = {}, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
    else el.setAttribute(name, value === true ? '' : value);
  }
  el.append(...children);
  return el;
}

// text changes an element only when there is something to change, so that a reader's
// selection and a screen reader's place survive.
export function text(el, value) {
  value = String(value ?? '');
  if (el.textContent !== value) el.textContent = value;
}

// keyed makes a list's children those of items and leaves alone what stays: an element keeps
// its focus. When the focused one goes, its neighbour has the focus.
export function keyed(list, items, key, make, update) {
  const wanted = new Map(items.map((item) => [key(item), item]));
  const have = new Map();
  for (const el of [...list.children]) {
    if (wanted.has(el.dataset.key)) {
      have.set(el.dataset.key, el);
      continue;
    }
    const heir = el.contains(document.activeElement) && (el.nextElementSibling ?? el.previousElementSibling);
    el.remove();
    if (heir) heir.querySelector('button')?.focus();
  }
  let at = list.firstElementChild;
  for (const [k, item] of wanted) {
    let el = have.get(k);
    if (!el) {
      el = make(item);
      el.dataset.key = k;
    }
    update(el, item);
    if (el === at) at = at.nextElementSibling;
    else list.insertBefore(el, at);
  }
}

// bar fills a bar; part is 0 to 1. Set through the object model, which the policy allows.
export function bar(el, part) {
  el.style.setProperty('--part', Math.max(0, Math.min(1, part)).toFixed(3));
}

let silence;

// say tells of something that has just happened, to eyes and to screen readers.
export function say(message) {
  clearTimeout(silence);
  text($('said'), message);
  silence = setTimeout(() => text($('said'), ''), 6000);
}

// span is a time in its two largest units.
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return s + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' min ' + (s % 60) + ' s';
  if (s < 172800) return Math.floor(s / 3600) + ' h ' + (Math.floor(s / 60) % 60) + ' min';
  return Math.floor(s / 86400) + ' days';
}

export const ago = (at) => (at ? span(Date.now() - Date.parse(at)).split(' ').slice(0, 2).join(' ') + ' ago' : 'never');

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));
