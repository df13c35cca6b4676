import type { Channel } from './channel.js'
import type { RocketError } from './errors.js'
import type { Settings } from './options.js'
import { after, backoff, type Cancel } from './timers.js'
import type { Event, Gap, Handlers, Subscription, SubscriptionState } from './types.js'

/** What one caller of subscribe has. The handles of a channel share its subscription. */
export class Handle implements Subscription {
  state: SubscriptionState = { state: 'subscribing' }
  #loading: AbortController | undefined
  #again: Cancel = () => {}
  /** The gap behind which load has to be called, or is at work. */
  #owed: Gap | undefined
  /** Events that wait for load. */
  #held: Event[] = []
  /** The state that load has fetched has the events up to here. */
  #loaded = -1

  constructor(readonly on: Channel, readonly handlers: Handlers, readonly o: Settings) {
    this.#owed = { channel: on.name, reason: 'first' }
  }

  get #subscribed(): boolean { return this.state.state === 'subscribed' }
  get channel(): string { return this.on.name }

  unsubscribe(): void { this.end() }

  end(error?: RocketError): void {
    if (this.state.state === 'ended') return
    this.stop()
    this.on.remove(this)
    this.#tell({ state: 'ended', ...error && { error } })
  }

  /** There is a connection with a subscription. gap is what may be missing since the last one. */
  subscribed(gap?: Gap): void {
    this.#tell({ state: 'subscribed' })
    gap ??= this.#loading ? undefined : this.#owed
    if (gap) this.gap(this.#owed?.reason === 'first' ? this.#owed : gap)
  }

  /** The connection is gone. */
  down(): void {
    if (this.#subscribed) this.#tell({ state: 'subscribing' })
  }

  /** Ends what is at work; what is owed stays owed. */
  stop(): void {
    this.#loading?.abort()
    this.#again()
    this.#loading = undefined
    this.#held = []
  }

  event(event: Event): void {
    if (!this.#subscribed) return
    if (!this.#owed) {
      if (!(event.offset! <= this.#loaded)) this.#call(() => this.handlers.onEvent?.(event))
    } else if (this.#held.push(event) > this.o.maxHeld) {
      this.gap({ channel: this.channel, reason: 'held', missed: this.#held.length })
    }
  }

  notice(tell: (handlers: Handlers) => void): void {
    if (this.#subscribed) this.#call(() => tell(this.handlers))
  }

  gap(gap: Gap): void {
    if (!this.#subscribed) return
    this.#owed = this.handlers.load && gap
    if (gap.reason !== 'first') this.#call(() => this.handlers.onGap?.(gap))
    if (this.#owed === gap && this.#subscribed) {
      this.stop()
      this.#loading = new AbortController()
      this.#load(gap)
    }
  }

  async #load(gap: Gap, n = 0): Promise<void> {
    const { signal } = this.#loading!
    try {
      const offset = await this.handlers.load!({ ...gap, signal })
      if (signal.aborted) return
      this.#loaded = offset ?? -1
    } catch (error) {
      if (signal.aborted) return
      if (!n) this.o.onError(error)
      this.#again = after(backoff(n, this.o), () => this.#load(gap, n + 1))
      return
    }
    const held = this.#held
    this.stop()
    this.#owed = undefined
    for (const event of held) this.event(event)
  }

  #tell(state: SubscriptionState): void {
    this.state = state
    this.#call(() => this.handlers.onState?.(state))
  }

  /** A handler that throws takes nothing from the others. */
  #call(f: () => void): void {
    try { f() } catch (error) { this.o.onError(error) }
  }
}
