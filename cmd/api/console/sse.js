// Server-Sent Events by fetch: an EventSource cannot send an Authorization header.

// events reads a body: {id, name, data} for each event. One without data only moves the
// place to resume from.
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let event = {};
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return; // an event that was cut short is told again after its predecessor
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        if (line === '') {
          yield event;
          event = {};
        } else if (line.startsWith('id: ')) event.id = line.slice(4);
        else if (line.startsWith('event: ')) event.name = line.slice(7);
        else if (line.startsWith('data: ')) event.data = (event.data ? event.data + '\n' : '') + line.slice(6);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
