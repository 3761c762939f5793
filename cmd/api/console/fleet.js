// What the page knows of the fleet, and how it stays up to date: the stream of all changes,
// and polling where there is no stream.
import * as api from './api.js';
import { pause } from './dom.js';

const bad = new Set(['failed', 'rolled_back', 'unverified']);
const mostFailed = 50;
const lingers = 4000; // what has ended well is shown for a moment
const open = '/wordpress/operations?state=queued,running&limit=200';
const failures = '/wordpress/operations?state=' + [...bad] + '&limit=' + mostFailed;

export const fleet = {
  nodes: [],
  ops: new Map(), // that have not ended, or only just
  failed: new Map(), // the newest first
  truncated: false, // there are more open ones
  link: 'connecting',
  changed: () => {},
};

const unknown = new Set(); // ops of which only an event is known

function link(is) {
  fleet.link = is;
  fleet.changed();
}

// newer reports whether news of an op are news.
const newer = (op) => !((fleet.ops.get(op.operation_id)?.seq ?? -1) > op.seq);

function put(op) {
  if (bad.has(op.status)) {
    fleet.ops.delete(op.operation_id);
    fleet.failed.set(op.operation_id, op);
    fleet.failed = new Map([...fleet.failed].sort((a, b) => (a[0] < b[0] ? 1 : -1)).slice(0, mostFailed));
  } else if (!op.done) fleet.ops.set(op.operation_id, op);
}

function snapshot({ operations, truncated }) {
  fleet.ops = new Map(operations.map((op) => [op.operation_id, op]));
  fleet.truncated = truncated;
}

function happened(change) {
  const id = change.operation_id;
  if (!newer(change)) return;
  const before = fleet.ops.get(id);
  if (!before) unknown.add(id);
  // A change does not tell all of an op: node, path, when it began.
  const op = { created_at: change.at, ...before, ...change };
  if (op.status === 'running') op.started_at ??= change.at;
  fleet.ops.set(id, op);
  if (!change.done) return;
  if (bad.has(change.status)) unknown.add(id); // for the reason
  setTimeout(() => {
    fleet.ops.delete(id);
    fleet.changed();
  }, lingers);
}

function take(event) {
  const data = JSON.parse(event.data);
  if (event.name === 'snapshot') snapshot(data);
  else if (event.name !== 'reset') happened(data);
  fleet.changed();
}

async function poll(signal) {
  const { operations, next_cursor } = await api.get(open, signal);
  snapshot({ operations, truncated: next_cursor !== '' });
  for (const op of (await api.get(failures, signal)).operations) put(op);
  fleet.changed();
}

// follow keeps the stream, and resumes it where it broke off.
async function follow(signal) {
  let last = '';
  for (let tries = 0; !signal.aborted; tries++) {
    let wait = Math.min(30_000, 500 * 2 ** tries) * (0.75 + Math.random() / 2);
    try {
      for await (const event of api.stream('/wordpress/events', last, signal)) {
        tries = -1; // the next one is the first
        last = event.id || last;
        if (fleet.link !== 'live') link('live');
        if (event.data) take(event);
      }
      wait = 500;
    } catch (e) {
      if (signal.aborted) return;
      wait = Math.max(wait, e.wait ?? 0);
    }
    link(tries < 2 ? 'reconnecting' : 'polling');
    if (fleet.link === 'polling') {
      last = ''; // what is polled is newer than where the stream broke off
      await poll(signal).then(() => { wait = Math.max(wait, 10_000); }, () => link('offline'));
    }
    await pause(wait);
  }
}

// learn asks for what events have not told, many at a time.
async function learn(signal) {
  const ids = [...unknown].slice(-200);
  unknown.clear(); // of a flood the newest will do
  if (ids.length === 0) return;
  try {
    const { operations } = await api.get('/wordpress/operations?ids=' + ids, signal);
    for (const op of operations) put(newer(op) ? op : { ...op, ...fleet.ops.get(op.operation_id) });
  } catch (e) {
    ids.forEach((id) => unknown.add(id));
    throw e;
  }
  fleet.changed();
}

export function start(signal) {
  follow(signal);
  api.again(5000, signal, async () => {
    fleet.nodes = (await api.get('/nodes', signal)).nodes;
    fleet.changed();
  });
  api.again(3000, signal, () => learn(signal));
  return api.get(failures, signal).then(({ operations }) => {
    operations.forEach(put);
    fleet.changed();
  }, () => {});
}

export function stop() {
  Object.assign(fleet, { nodes: [], ops: new Map(), failed: new Map(), link: 'connecting' });
}
