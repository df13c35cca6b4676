import type { Transport } from './types.js'

/** How many commands a request may have. */
const most = 64

/**
 * A transport for networks that let no WebSocket through: it hears by a response that does not
 * end, and speaks by requests, one at a time, which keeps the order. Give it behind
 * webSocket(): `transports: [webSocket(), stream()]`. fetch is the global one.
 */
export function stream(fetch: typeof globalThis.fetch = globalThis.fetch): Transport {
  return (url, on) => {
    const { origin, pathname } = new URL(url.replace(/^ws/, 'http'), globalThis.location?.href)
    const abort = new AbortController(), { signal } = abort
    let session: string, waiting: string[] = [], sending = false, seq = 0

    const down = (code: number, reason: string, retryAfter?: number) => {
      if (signal.aborted) return
      abort.abort()
      on.down(code, reason, retryAfter)
    }

    /** A request; whatever goes wrong with it ends the link. */
    const ask = async (path: string, init: RequestInit, then: (response: Response) => Promise<unknown>) => {
      try {
        const response = await fetch(origin + path, { ...init, cache: 'no-store', signal })
        if (response.ok) await then(response)
        else down(response.status, await response.text(), 1000 * (Number(response.headers.get('retry-after')) || 0))
      } catch (error) {
        down(1006, String(error))
      }
    }

    const hear = (event: string, data: string) => {
      if (event === 'open') {
        session = JSON.parse(data).session
        on.open()
      } else if (event === 'close') {
        const { code, reason } = JSON.parse(data)
        down(code, reason)
      } else if (!event && data) {
        on.message(data)
      }
    }

    const read = async ({ body }: Response) => {
      const reader = body!.getReader(), utf8 = new TextDecoder()
      let rest = '', event = '', data: string[] = []
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return down(1006, 'the stream has ended')
        const lines = (rest + utf8.decode(value, { stream: true })).split('\n')
        rest = lines.pop()!
        for (const line of lines) {
          if (signal.aborted) return
          const [, field, text] = /^(\w*): ?(.*)/.exec(line) ?? []
          if (field === 'event') event = text!
          else if (field === 'data') data.push(text!)
          else if (!line) {
            hear(event, data.join('\n'))
            event = ''
            data = []
          }
        }
      }
    }

    const send = async () => {
      if (sending) return
      sending = true
      while (waiting.length && !signal.aborted) {
        const body = [JSON.stringify({ session, seq: ++seq }), ...waiting.splice(0, most)].join('\n')
        await ask('/v1/commands', { method: 'POST', headers: { 'content-type': 'text/plain' }, body }, response => response.text())
      }
      sending = false
    }

    ask('/v1/stream?hub=' + encodeURIComponent(pathname), { headers: { accept: 'text/event-stream' } }, read)
    return {
      name: 'stream',
      // What is sent in one turn goes into one request.
      send(text) { if (waiting.push(text) === 1) queueMicrotask(send) },
      close: () => abort.abort(),
    }
  }
}
