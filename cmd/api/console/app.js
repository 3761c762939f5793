// The page: signing in and out, and drawing when something has changed.
import * as api from './api.js';
import { $, text } from './dom.js';
import { fleet, start, stop } from './fleet.js';
import * as lists from './lists.js';
import * as detail from './detail.js';
import * as search from './search.js';
import * as keys from './keys.js';

let running = new AbortController();
let drawing = false;

const openRow = (op) => {
  detail.open(op, document.activeElement);
  paint();
};

function paint() {
  drawing = false;
  lists.paint(openRow, detail.opened());
  search.paint(openRow, detail.opened());
}

// draw paints once for all that changes between two frames; not at all while nobody looks.
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(paint);
}

function view(name) {
  document.body.dataset.view = name;
}

function enter() {
  running = new AbortController();
  const { account, key, may_change: changes } = api.current();
  text($('who'), account + ' · ' + key + (changes ? '' : ' · read only'));
  view('console');
  start(running.signal);
}

function leave(why = '') {
  running.abort();
  detail.close();
  search.back();
  stop();
  text($('sign-in-problem'), why);
  view('sign-in');
  $('key').focus();
}

async function knock(f) {
  try {
    await f();
    enter();
  } catch (e) {
    leave(e.message);
  }
}

$('sign-in').addEventListener('submit', (e) => {
  e.preventDefault();
  const key = $('key').value.trim();
  $('key').value = '';
  knock(() => api.signInWith(key));
});
$('sign-out').addEventListener('click', async () => {
  leave();
  await api.signOut();
});
api.whenEnded(() => leave('The session has ended.'));
fleet.changed = draw;
search.start(draw);
keys.start();
setInterval(() => {
  if (document.body.dataset.view !== 'console' || document.hidden) return;
  draw();
  detail.tick();
}, 1000);

// A code in the address is used once and taken out at once, before anybody can copy it.
function arrive() {
  const code = location.hash.slice(1);
  if (code) {
    history.replaceState(null, '', location.pathname);
    knock(() => api.signIn(code));
  } else if (api.current()) enter();
  else leave();
}

addEventListener('hashchange', () => {
  running.abort();
  arrive();
});
arrive();
