// The fleet at a glance: figures, nodes, and rows of operations.
import { $, h, text, keyed, bar, span, ago } from './dom.js';
import { fleet } from './fleet.js';

const mostRows = 100;
// word makes a name of the API's readable: core.update, rolled_back.
export const word = (s) => String(s).replace(/[._]/g, ' ');

// where names an install as its owner would.
export const where = (op) => (op.domain || 'many installs') + (op.path && op.path !== 'public_html' ? '/' + op.path : '');

const queued = (n) => n.fast_queued + n.bulk_queued;
const slots = (n) => n.fast_slots + n.bulk_slots;
const sum = (list, f) => list.reduce((all, x) => all + f(x), 0);
const is = (status) => [...fleet.ops.values()].filter((op) => op.status === status);

function figures() {
  const up = fleet.nodes.filter((n) => n.state === 'up').length;
  const lost = fleet.nodes.filter((n) => n.state === 'lost').length;
  const waiting = is('queued').length;
  const all = [
    ['Nodes up', up + ' / ' + fleet.nodes.length, lost ? 'bad' : ''],
    ['Running', is('running').length, ''],
    ['Waiting', waiting + (fleet.truncated ? '+' : ''), ''],
    ['Failed lately', fleet.failed.size, fleet.failed.size ? 'bad' : ''],
    ['Installs', sum(fleet.nodes, (n) => n.installations).toLocaleString('en'), ''],
  ];
  keyed($('figures'), all, ([name]) => name,
    ([name]) => h('li', {}, h('b'), h('span', {}, name)),
    (el, [, value, tone]) => {
      text(el.firstChild, value);
      el.dataset.tone = tone;
    });
}

const severity = (n) => (n.state === 'lost' ? 0 : n.late ? 1 : n.state === 'draining' ? 2 : 3);

function nodes() {
  const list = [...fleet.nodes].sort((a, b) => severity(a) - severity(b) || (a.id < b.id ? -1 : 1));
  const longest = Math.max(10, ...list.map(queued));
  keyed($('nodes'), list, (n) => n.id, makeNode, (el, n) => {
    const [name, state, slotBar, slotText, queueBar, queueText, facts] = el.parts;
    el.dataset.state = n.late ? 'late' : n.state;
    text(name, n.id);
    text(state, n.late ? 'late' : n.state);
    bar(slotBar, n.running / Math.max(1, slots(n)));
    text(slotText, n.running + ' of ' + slots(n));
    bar(queueBar, queued(n) / longest);
    text(queueText, queued(n));
    const silent = n.state === 'lost' || n.late;
    text(facts, silent ? 'last heard of ' + ago(n.heartbeat_at) : n.installations.toLocaleString('en') + ' installs, PHP ' + (n.php_version || '?'));
  });
}

function makeNode() {
  const parts = [h('b'), h('span', { class: 'state' }), h('i', { class: 'bar' }), h('span'), h('i', { class: 'bar queue' }), h('span'), h('p', { class: 'quiet' })];
  const [name, state, slotBar, slotText, queueBar, queueText, facts] = parts;
  const el = h('li', { class: 'node' },
    h('p', {}, name, state),
    h('p', { class: 'gauge' }, h('span', {}, 'slots'), slotBar, slotText),
    h('p', { class: 'gauge' }, h('span', {}, 'queue'), queueBar, queueText), facts);
  el.parts = parts;
  return el;
}

// took is how long an op has run, or ran, or waits.
export function took(op) {
  const from = Date.parse(op.started_at ?? op.created_at);
  return span((op.finished_at ? Date.parse(op.finished_at) : Date.now()) - from);
}

const reasons = { lost: 'its node is lost', draining: 'its node drains' };

function waitsFor(op) {
  if (op.queue_position) return 'behind ' + op.queue_position + ' of the same install';
  return reasons[fleet.nodes.find((n) => n.id === op.node)?.state] ?? 'waits for a slot';
}

function doing(op) {
  if (op.error) return op.error.message;
  if (op.cancel_requested && !op.done) return 'being cancelled';
  if (op.status === 'queued') return waitsFor(op);
  if (op.stalled) return 'no news for a while';
  return op.message || word(op.step ?? '');
}

// rows shows ops as a list; open is called with the one that was chosen.
export function rows(list, ops, open, chosen) {
  keyed(list, ops, (op) => op.operation_id,
    (op) => {
      const parts = [h('b'), h('span', { class: 'kind' }), h('span', { class: 'doing' }), h('i', { class: 'bar' }), h('span', { class: 'percent' }), h('span', { class: 'when' })];
      const row = h('button', { class: 'row', onclick: () => open(row.op) }, h('i', { class: 'dot' }), ...parts);
      const el = h('li', {}, row);
      Object.assign(el, { row, parts });
      return el;
    },
    ({ row, parts: [site, kind, what, progress, percent, when] }, op) => {
      row.op = op;
      row.dataset.state = op.stalled && !op.done ? 'stalled' : op.status;
      row.setAttribute('aria-current', op.operation_id === chosen);
      text(site, where(op));
      text(kind, word(op.type) + (op.node ? ' · ' + op.node : ''));
      text(what, doing(op));
      bar(progress, op.progress / 100);
      text(percent, op.status === 'running' ? op.progress + ' %' : word(op.status));
      text(when, op.done ? ago(op.finished_at ?? op.at) : took(op));
    });
}

// newest sorts ops by age, which their ids tell.
export const newest = (a, b) => (a.operation_id < b.operation_id ? 1 : -1);

// paint draws everything anew; elements of what has not changed are left alone.
export function paint(open, chosen) {
  text($('link'), fleet.link);
  $('link').dataset.is = fleet.link;
  figures();
  nodes();
  const ops = [...fleet.ops.values()].sort(newest);
  const waiting = ops.filter((op) => op.status === 'queued').reverse(); // who waits longest comes first
  const begun = ops.filter((op) => op.status !== 'queued');
  text($('running-count'), begun.length || '');
  rows($('running'), begun.slice(0, mostRows), open, chosen);
  text($('waiting-count'), waiting.length ? waiting.length + (fleet.truncated ? '+' : '') : '');
  rows($('waiting'), waiting.slice(0, mostRows), open, chosen);
  text($('failed-count'), fleet.failed.size || '');
  rows($('failed'), [...fleet.failed.values()], open, chosen);
}
