// The keyboard. Rows are buttons, so that Enter and Tab do what they always do.
import { $ } from './dom.js';
import * as detail from './detail.js';
import * as search from './search.js';

// move goes to another row: of what was found, if that is open, or of the lists.
function move(by) {
  const scope = $('results').hidden ? $('lists') : $('results');
  const all = [...scope.querySelectorAll('.row')].filter((row) => row.offsetParent);
  const at = all.indexOf(document.activeElement);
  all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, at + by))]?.focus();
}

function escape() {
  if (!$('results').hidden || document.activeElement === $('search')) {
    search.closeResults();
    $('search').blur();
  } else if (detail.opened()) detail.leave();
  else if (search.install()) search.back();
}

const keys = {
  '/': () => { $('search').focus(); $('search').select(); },
  j: () => move(1),
  k: () => move(-1),
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  c: detail.cancel,
  r: detail.retry,
  '?': () => $('help').showModal(),
  Escape: escape,
};

function pressed(e) {
  if (document.body.dataset.view !== 'console' || $('help').open || e.ctrlKey || e.metaKey || e.altKey) return;
  const typing = e.target === $('search');
  if (typing && e.key === 'Enter') {
    e.preventDefault(); // or it presses what gets the focus next
    return $('results').querySelector('.row')?.click();
  }
  if (typing && !['ArrowDown', 'ArrowUp', 'Escape'].includes(e.key)) return;
  if (e.target.tagName === 'PRE' && e.key.startsWith('Arrow')) return; // scrolls the log
  if (!Object.hasOwn(keys, e.key)) return;
  e.preventDefault();
  keys[e.key]();
}

export function start() {
  document.addEventListener('keydown', pressed);
  $('show-help').addEventListener('click', keys['?']);
}
