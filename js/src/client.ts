import { Channel } from './channel.js'
import type { Reply, RunOptions } from './commands.js'
import { Connection } from './connection.js'
import { errorOf, RocketError } from './errors.js'
import { eventOf } from './event.js'
import { settings, type Settings } from './options.js'
import type {
  Handlers, History, HistoryOptions, Options, Published, PublishOptions, State, Subscription,
} from './types.js'

/**
 * A client of one hub. It connects when it is first used, and comes back by itself.
 *
 * The constructor opens nothing, so it may be called on a server that renders pages.
 */
export class Client {
  /** With their defaults. */
  readonly options: Settings
  readonly #connection: Connection
  /** By name. Names such as __proto__ are no keys for objects. */
  readonly #channels = new Map<string, Channel>()
  readonly #listeners = new Set<(state: State) => void>()
  #closed = false

  /** url is that of the hub, such as wss://rt.example.com/ or, on the page's own host, /. A function is called for each attempt. */
  constructor(url: string | (() => string | Promise<string>), options: Options = {}) {
    const o = this.options = settings(options)
    this.#connection = new Connection(url, o, {
      changed: state => {
        for (const f of [...this.#listeners]) try { f(state) } catch (error) { o.onError(error) }
      },
      online: () => this.#join(this.#channels.values()),
      heard: (message, text) => this.#heard(message, text),
      down: closed => { for (const c of [...this.#channels.values()]) c.down(closed) },
    })
  }

  /** A new object for each change. */
  get state(): State { return this.#connection.state }

  /** Calls f for each change of the state, until the returned function is called. */
  onState(f: (state: State) => void): () => void {
    this.#listeners.add(f)
    return () => { this.#listeners.delete(f) }
  }

  /** Connects. The first use does it too, but not after close or a failure. */
  connect(): void {
    this.#closed = false
    this.#connection.connect()
  }

  /** Disconnects. Subscriptions stay, and go on after connect. */
  close(): void {
    this.#closed = true
    this.#connection.close()
  }

  /** Gets a new token and logs in with it, without a gap, as when the rights of the user have changed. */
  refresh(): Promise<void> { return this.#connection.refresh() }

  /** Hears a channel until unsubscribe is called. Any number of subscriptions to a channel are one for the server. */
  subscribe<D = unknown>(channel: string, handlers: Handlers<D>): Subscription {
    let c = this.#channels.get(channel)
    if (!c) this.#channels.set(channel, c = new Channel(channel, c => this.#leave(c)))
    const handle = c.add(handlers as Handlers, this.options)
    this.#use(c)
    return handle
  }

  /**
   * Publishes an event. Without a connection it waits, as long as commandTimeout says. If it was
   * sent, and the connection broke before the reply, it fails with `unknown_outcome`, unless there is a key.
   */
  async publish(channel: string, event: string, data?: unknown, options: PublishOptions = {}): Promise<Published> {
    const { key, signal } = options
    const { ok, err, id, ...more } =
      await this.run({ publish: { event, channel, data, key } }, { acts: true, again: key !== undefined, signal }, 'invalid_channel')
    return { heard: !err, ...more }
  }

  /** Returns the last events that a channel keeps, without subscribing. */
  async history<D = unknown>(channel: string, options: HistoryOptions = {}): Promise<History<D>> {
    const { signal, ...which } = options
    const { events, epoch, top, first, more } = await this.run({ history: { channel, ...which } }, { again: true, signal })
    return { events, first, more, position: { epoch, offset: events.at(-1)?.offset ?? top } }
  }

  /**
   * Runs a command of the protocol, such as `{ presence: { channel: 'c' } }`, and returns the reply. An error of the server
   * is thrown, unless it is the expected one. With again it may be sent twice, if the connection breaks.
   */
  async run(body: object, options: RunOptions = {}, expected?: string): Promise<Reply> {
    if (this.#closed || this.state.state === 'failed') throw new RocketError('closed')
    this.#use()
    const reply = await this.#connection.commands.run(body, options)
    if (reply.err && reply.err !== expected) throw errorOf(reply)
    return reply
  }

  /** Connects, unless the user has said otherwise, and subscribes to a channel. */
  #use(...channels: Channel[]): void {
    if (this.state.state === 'online') this.#join(channels)
    else if (this.state.state === 'idle' && !this.#closed) this.#connection.connect()
  }

  /** Subscribes to channels that are not yet, with one command if the server knows that. */
  #join(channels: Iterable<Channel>): void {
    const list = [...channels].filter(c => !c.asked)
    const together = this.#connection.together
    for (let i = 0; i < list.length; i += together) this.#ask(list.slice(i, i + together))
  }

  #ask(list: Channel[]): void {
    const wanted = (c: Channel) => this.#channels.get(c.name) === c
    const place = (c: Channel) => ({ channel: c.name, since: c.position })
    let sent: Channel[]
    for (const c of list) c.asked = true
    this.#connection.commands.ask(() => {
      sent = list.filter(wanted)
      return sent[0] && { subscribe: sent[1] ? { channels: sent.map(place) } : place(sent[0]) }
    }, reply => sent.forEach((c, i) => {
      const result: Reply | undefined = reply.results ? reply.results[i] : reply
      if (!result || !wanted(c)) return
      if (!result.err) return c.subscribed(result)
      c.asked = false
      const end = () => c.end(errorOf(result))
      if (result.err !== 'access_denied' || c.denied || typeof this.options.token !== 'function') return end()
      // The rights may have changed since the token was made.
      c.denied = true
      this.refresh().then(() => { if (wanted(c)) this.#use(c) }, end)
    }))
  }

  #leave(c: Channel): void {
    if (this.#channels.get(c.name) !== c) return
    this.#channels.delete(c.name)
    if (c.asked) this.#connection.commands.ask(() => !this.#channels.has(c.name) && { unsubscribe: { channel: c.name } }, () => {})
  }

  #heard(message: Reply, text: string): void {
    const c = this.#channels.get(message.channel)
    if (!c) return
    if (message.event !== undefined) c.event(eventOf(message, text))
    else if (message.lost !== undefined) c.lost(message)
    else if (message.presence) c.notice(h => h.onPresence?.(message.presence))
    else if (message.presenceEnded) c.notice(h => h.onPresenceEnd?.(message.presenceEnded))
    else if (message.unsubscribed) {
      c.asked = false
      c.end(new RocketError(message.unsubscribed))
    }
  }
}
