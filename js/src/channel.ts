import type { RocketError } from './errors.js'
import { Handle } from './handle.js'
import type { Reply } from './commands.js'
import type { Settings } from './options.js'
import type { Event, Gap, GapReason, Handlers, Position } from './types.js'

/** One channel on the wire, whatever the number of its handles. */
export class Channel {
  readonly handles = new Set<Handle>()
  /** The place behind the last message about this channel that had an offset. */
  position: Position | undefined
  /** It has been subscribed to, or soon will be, on this connection. */
  asked = false
  /** A new token has been fetched because the server has denied this channel. */
  denied = false
  #on = false
  #before = false

  constructor(readonly name: string, readonly empty: (channel: Channel) => void) {}

  add(handlers: Handlers, o: Settings): Handle {
    const handle = new Handle(this, handlers, o)
    this.handles.add(handle)
    // A turn later, as for the first one: the caller has the handle when it is called.
    if (this.#on) queueMicrotask(() => { if (this.#on && handle.state.state === 'subscribing') handle.subscribed() })
    return handle
  }

  /** The last handle to leave ends the subscription, unless another one comes in the same turn. */
  remove(handle: Handle): void {
    this.handles.delete(handle)
    if (!this.handles.size) queueMicrotask(() => { if (!this.handles.size) this.empty(this) })
  }

  subscribed(reply: Reply): void {
    const reason = reasons.find(r => r === reply.reason) ?? 'reconnect'
    const gap = this.#before && !reply.recovered ? this.#gap(reason, reply.lost) : undefined
    this.#on = this.#before = true
    this.denied = false
    this.position = reply.epoch === undefined ? undefined : { epoch: reply.epoch, offset: reply.offset }
    for (const h of [...this.handles]) h.subscribed(gap)
  }

  /** The server does not let this client hear the channel. */
  end(error: RocketError): void {
    for (const h of [...this.handles]) h.end(error)
  }

  /** The connection is gone; closed if the client does not want another one. */
  down(closed: boolean | undefined): void {
    this.asked = this.#on = false
    for (const h of [...this.handles]) {
      if (closed) h.stop()
      h.down()
    }
  }

  event(event: Event): void {
    if (!this.#on) return
    // The position moves first: a handler that throws or subscribes anew does not get the event again.
    if (event.offset !== undefined && this.position) {
      if (event.offset <= this.position.offset) return
      this.position = { ...this.position, offset: event.offset }
    }
    for (const h of [...this.handles]) h.event(event)
  }

  /** What is told about presence. */
  notice(tell: (handlers: Handlers) => void): void {
    for (const h of [...this.handles]) h.notice(tell)
  }

  /** The server has left events out. With an epoch all before is void. */
  lost({ lost, offset, epoch }: Reply): void {
    if (!this.#on) return
    const gap = this.#gap(epoch ? 'epoch' : 'dropped', lost)
    if (this.position) this.position = { epoch: epoch ?? this.position.epoch, offset }
    for (const h of [...this.handles]) h.gap(gap)
  }

  #gap(reason: GapReason, missed: number | undefined): Gap {
    return { channel: this.name, reason, ...missed && { missed }, ...this.position && { since: this.position } }
  }
}

const reasons = ['epoch', 'expired', 'ahead'] as const
