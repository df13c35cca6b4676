import type { Transport } from './types.js'

/** What the transport uses of a WebSocket: the browser's class fits, and that of the package ws. */
export interface WebSocketClass {
  new (url: string): {
    onopen: ((e: any) => void) | null
    onmessage: ((e: any) => void) | null
    onclose: ((e: any) => void) | null
    onerror: ((e: any) => void) | null
    send(text: string): void
    close(): void
  }
}

/** The usual transport. Node before 22 has no WebSocket: `import { WebSocket } from 'ws'`, and give that. */
export function webSocket(Class: WebSocketClass | undefined = globalThis.WebSocket): Transport {
  return (url, on) => {
    if (!Class) throw Error('no WebSocket: use webSocket() with the package ws')
    const ws = new Class(new URL(url, globalThis.location?.href).href.replace(/^http/, 'ws'))
    ws.onopen = () => on.open()
    ws.onmessage = e => on.message(e.data)
    ws.onclose = e => on.down(e.code, e.reason)
    ws.onerror = () => {} // the close event follows, and says no less
    return { name: 'websocket', send: text => ws.send(text), close: () => ws.close() }
  }
}
