// One operation: its steps, how it ended, the end of its log, and what can be done about it.
import * as api from './api.js';
import { $, h, text, say, bar, span } from './dom.js';
import { fleet } from './fleet.js';
import { word, where, took } from './lists.js';

const mostLines = 500;
const again = new Set(['failed', 'cancelled', 'rolled_back']);
const logEvery = 3000;

let shown = null; // {op, stop, parts, …}, what is open

export const opened = () => shown?.op.operation_id;

export function close() {
  shown?.stop.abort();
  shown = null;
  $('detail').hidden = true;
  $('detail').replaceChildren();
}

// open shows an op and follows it to its end; from is the row that has the focus afterwards.
export function open(op, from) {
  close();
  const parts = {
    state: h('span', { class: 'state' }), progress: h('i', { class: 'bar' }), message: h('p', { class: 'message' }),
    facts: h('dl', { class: 'facts' }), problem: h('div', { class: 'problem', role: 'alert' }), steps: h('ol', { class: 'steps' }),
    log: h('pre', { tabindex: '0', 'aria-label': 'Log' }),
    cancel: h('button', { class: 'danger', onclick: cancel }, 'Cancel'), retry: h('button', { class: 'primary', onclick: retry }, 'Try again'),
  };
  shown = { op, from, parts, stop: new AbortController(), steps: new Map(), cursor: '', lines: 0, sure: false };
  $('detail').replaceChildren(
    h('header', {}, h('h2', { id: 'detail-title' }, word(op.type) + ' on ' + where(op)), parts.state,
      h('button', { class: 'close', 'aria-label': 'Close', onclick: leave }, '×')),
    parts.progress, parts.message, parts.problem, h('p', { class: 'actions' }, parts.cancel, parts.retry),
    parts.facts, h('h3', {}, 'Steps'), parts.steps, h('h3', {}, 'Log'), parts.log);
  $('detail').hidden = false;
  draw();
  follow(shown);
  tail(shown);
}

// leave closes what is open and gives the focus back.
export function leave() {
  const from = shown?.from;
  close();
  if (from?.isConnected) from.focus();
}

// left guesses like the API does: the rest goes as fast as what is done.
function left({ status, started_at: from, progress }) {
  if (status !== 'running' || !from || progress < 5 || progress > 99) return '';
  return span((Date.now() - Date.parse(from)) * (100 - progress) / progress);
}

const facts = (op) => [
  ['Operation', op.operation_id], ['Install', op.id], ['Node', op.node ?? fleet.ops.get(op.operation_id)?.node], ['Part of', op.parent_id],
  ['Attempt', op.attempt > 1 ? op.attempt : ''], [op.done ? 'Took' : op.started_at ? 'Runs for' : 'Waits for', took(op)],
  ['Left, about', left(op)],
].filter(([, value]) => value);

function draw() {
  const { op, parts, steps } = shown;
  parts.state.dataset.state = op.status;
  text(parts.state, op.cancel_requested && !op.done ? 'being cancelled' : word(op.status));
  bar(parts.progress, op.progress / 100);
  text(parts.message, op.done ? '' : op.message);
  parts.problem.hidden = !op.error;
  if (op.error && parts.problem.dataset.of !== op.error.code) {
    parts.problem.dataset.of = op.error.code;
    parts.problem.replaceChildren(h('b', {}, op.error.message), h('p', {}, op.error.hint ?? ''), h('code', {}, op.error.code));
  }
  parts.cancel.hidden = op.done || !api.current()?.may_change;
  parts.cancel.disabled = op.cancel_requested;
  text(parts.cancel, shown.sure ? 'Really cancel' : 'Cancel');
  parts.retry.hidden = !again.has(op.status) || !api.current()?.may_change;
  const now = facts(op);
  if (parts.facts.dataset.now !== String(now)) {
    parts.facts.dataset.now = now;
    parts.facts.replaceChildren(...now.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]));
  }
  const list = [...steps.values()];
  parts.steps.replaceChildren(...list.map((s, i) => {
    const last = i === list.length - 1;
    const state = !last ? 'done' : op.done ? op.status : 'current';
    const until = last && !op.done ? Date.now() : Date.parse(list[i + 1]?.at ?? op.finished_at ?? s.at);
    return h('li', { 'data-state': state, 'aria-current': state === 'current' && 'step' },
      h('b', {}, word(s.step)), h('span', {}, s.message ?? ''), h('time', {}, span(until - Date.parse(s.at))));
  }));
}

// tick keeps the times going.
export function tick() {
  if (shown && !shown.op.done) draw();
}

function learned(mine, event) {
  const data = JSON.parse(event.data);
  if (event.name === 'progress') {
    const { at, ...rest } = data;
    mine.op = { ...mine.op, ...rest, updated_at: at };
    if (rest.status === 'running') mine.op.started_at ??= at;
    if (data.step) {
      const step = mine.steps.get(data.step);
      mine.steps.set(data.step, { ...data, at: step?.at ?? at });
    }
  } else mine.op = data;
}

// follow reads the op's own stream from its first event on.
async function follow(mine) {
  let last = '0';
  await api.again(1000, mine.stop.signal, async () => {
    for await (const event of api.stream('/wordpress/operations/' + mine.op.operation_id + '/events', last, mine.stop.signal)) {
      if (mine !== shown) return;
      last = event.id || last;
      if (!event.data) continue;
      learned(mine, event);
      draw();
      if (event.name !== 'done') continue;
      await lines(mine).catch(() => {}); // the last ones
      mine.stop.abort();
    }
  });
}

const tail = (mine) => api.again(logEvery, mine.stop.signal, () => lines(mine));

// lines fetches what the log has got since, and stays at its end unless the reader has left it.
async function lines(mine) {
  const { lines: more, next_cursor } = await api.get('/wordpress/operations/' + mine.op.operation_id + '/log?limit=1000&after=' + encodeURIComponent(mine.cursor));
  if (mine !== shown || mine.cursor === next_cursor) return;
  mine.cursor = next_cursor;
  const { log } = mine.parts;
  const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  log.append(...more.slice(-mostLines).map(({ at, text: line }) => h('span', {}, at.slice(11, 19) + '  ' + line + '\n')));
  while (log.childElementCount > mostLines) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

// cancel asks once more before it does.
export async function cancel() {
  const mine = shown;
  if (!mine || mine.parts.cancel.hidden || mine.op.cancel_requested) return;
  if (!mine.sure) {
    mine.sure = true;
    setTimeout(() => { mine.sure = false; if (mine === shown) draw(); }, 5000);
    draw();
    return;
  }
  mine.sure = false;
  await attempt('/cancel', (op) => {
    mine.op = { ...mine.op, cancel_requested: true, ...(op.done && op) };
    say(op.done ? 'Cancelled.' : 'It stops and undoes what it made.');
  });
}

export async function retry() {
  const mine = shown;
  if (!mine || mine.parts.retry.hidden || mine.busy) return;
  mine.busy = true;
  await attempt('/retry', (made) => {
    say('Tried again as a new operation.');
    const { error, finished_at, started_at, message, step, cancel_requested, ...same } = mine.op;
    open({ ...same, operation_id: made.operation_id, status: made.status, done: false, progress: 0, attempt: 0, created_at: new Date().toISOString() }, mine.from);
  });
  mine.busy = false;
}

async function attempt(what, done) {
  const mine = shown;
  try {
    const answer = await api.change('/wordpress/operations/' + mine.op.operation_id + what);
    if (mine === shown) done(answer);
  } catch (e) {
    say(e.message);
  }
  if (shown) draw();
}
