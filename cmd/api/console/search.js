// Finding an install, and what was done to it.
import * as api from './api.js';
import { $, h, text, keyed, say, pause } from './dom.js';
import { fleet } from './fleet.js';
import { rows, newest, word } from './lists.js';

let asked = new AbortController();
let found = [];
let chosen = null; // the install that is shown, {site, ops by id}

export const install = () => chosen;

export function closeResults() {
  asked.abort();
  $('results').hidden = true;
  $('search').setAttribute('aria-expanded', 'false');
}

// look asks for installs once the typing pauses.
async function look() {
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  const q = $('search').value.trim();
  if (q.length < 2) return closeResults();
  await pause(200);
  if (signal.aborted) return;
  try {
    found = await api.get('/wordpress/installations?limit=12&q=' + encodeURIComponent(q), signal);
  } catch (e) {
    if (!signal.aborted) say(e.message);
    return;
  }
  if (signal.aborted) return;
  $('results').hidden = false;
  $('search').setAttribute('aria-expanded', 'true');
  keyed($('results'), found.length ? found : [null], (s) => s?.id ?? 'none', make, (el, site) => {
    if (site) fill(el, site);
  });
}

function make(site) {
  if (!site) return h('li', { class: 'quiet none' }, 'No install has that in its domain or title.');
  const row = h('button', { class: 'row found', onclick: () => show(row.site) }, h('i', { class: 'dot' }), h('b'), h('span', { class: 'kind' }), h('span', { class: 'doing' }));
  return h('li', {}, row);
}

function fill({ firstChild: row }, site) {
  const [, domain, facts, title] = row.children;
  row.site = site;
  row.dataset.state = site.status === 'ok' ? 'succeeded' : site.status === 'suspended' ? 'cancelled' : 'failed';
  text(domain, site.domain);
  text(facts, site.version + ' · ' + site.node);
  text(title, site.site_title);
}

// show puts an install in the place of the overview.
export async function show(site) {
  closeResults();
  chosen = { site, ops: new Map() };
  text($('install-title'), site.domain);
  const facts = [['Title', site.site_title], ['Install', site.id], ['WordPress', site.version], ['PHP', site.php_version], ['Node', site.node],
    ['Account', site.account], ['Path', site.path], ['Status', word(site.status) + (site.reason ? ': ' + site.reason : '')]];
  $('install-facts').replaceChildren(...facts.filter(([, value]) => value).flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]));
  $('install-ops').replaceChildren();
  document.body.dataset.install = site.id;
  $('install').hidden = false;
  $('install-back').focus();
  await refresh();
  if (document.activeElement === $('install-back')) $('install-ops').querySelector('.row')?.focus();
}

export async function refresh() {
  const mine = chosen;
  const { operations } = await api.get('/wordpress/operations?limit=30&site=' + encodeURIComponent(mine.site.id)).catch((e) => {
    say(e.message);
    return { operations: [] };
  });
  for (const op of operations) mine.ops.set(op.operation_id, op);
  drawn();
}

let drawn = () => {};

// paint draws its operations: as they were when they were asked for, and what the stream has told since.
export function paint(open, opened) {
  if (!chosen) return;
  for (const op of [...fleet.ops.values(), ...fleet.failed.values()]) {
    if (op.id === chosen.site.id) chosen.ops.set(op.operation_id, op);
  }
  rows($('install-ops'), [...chosen.ops.values()].sort(newest), open, opened);
}

export function back() {
  chosen = null;
  delete document.body.dataset.install;
  $('install').hidden = true;
  $('search').value = '';
}

export function start(redraw) {
  drawn = redraw;
  $('search').addEventListener('input', look);
  $('search').addEventListener('focus', () => { if ($('search').value) look(); });
  $('install-back').addEventListener('click', back);
  document.addEventListener('click', (e) => { if (!e.target.closest('.search')) closeResults(); });
}
