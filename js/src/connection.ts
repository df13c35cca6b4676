import { verdict } from './codes.js'
import { Commands, type Reply } from './commands.js'
import { errorOf, RocketError } from './errors.js'
import { Heartbeat } from './heartbeat.js'
import type { Settings } from './options.js'
import { after, backoff, deadline, type Cancel } from './timers.js'
import type { Link, State, Transport } from './types.js'
import { onWake } from './wake.js'
import { webSocket } from './websocket.js'

/** What a connection tells its client. */
export interface Owner {
  /** Every change of the state, those below too. */
  changed(state: State): void
  /** Logged in: the time to ask for subscriptions. */
  online(): void
  /** A message that is no reply. */
  heard(message: Reply, text: string): void
  /** Not logged in any more; closed if no attempt follows. */
  down(closed: boolean | undefined): void
}

/** How long a refused login is remembered. The second one within this time ends the attempts. */
const patience = 60_000

/**
 * One logged-in connection at a time, and the way to the next one.
 *
 * It does not wait for the close event of a socket, which may come after a minute or never. What belongs
 * to one attempt or connection checks that #generation is still the one it began with.
 */
export class Connection {
  state: State = { state: 'idle' }
  readonly commands: Commands
  /** How many channels a subscribe may have: 1 with servers that do not say their version. 50 fit into a message, whatever their names. */
  together = 1
  readonly #transports: Transport[]
  readonly #heartbeat: Heartbeat
  #generation = 0
  #link: Link | undefined
  #abort = new AbortController()
  /** Attempts that have failed since a connection was stable. */
  #failed = 0
  /** How often a transport has opened in vain since the last login. */
  #early = 0
  #refusedAt = -Infinity
  /** What ends with the attempt, the connection or the wait. */
  #timers: Cancel[] = []
  #unwake: Cancel | undefined
  #refreshing: Promise<void> | undefined

  constructor(readonly url: string | (() => string | Promise<string>), readonly o: Settings, readonly owner: Owner) {
    this.commands = new Commands(o)
    this.#transports = o.transports ?? [webSocket()]
    this.#heartbeat = new Heartbeat(o,
      () => this.#link?.send('{"ping":true}'), // an older server answers that it does not know it
      () => this.#lost(new RocketError('timeout')))
  }

  connect(): void {
    if (this.#unwake) return
    this.#unwake = onWake(dead => this.#wake(dead))
    this.#failed = this.#early = 0
    this.#refusedAt = -Infinity
    this.#dial()
  }

  close(): void { this.#end({ state: 'idle' }, new RocketError('closed')) }

  /** Logs in anew on this connection, with a new token. */
  refresh(): Promise<void> {
    return this.#refreshing ??= this.#refresh().finally(() => { this.#refreshing = undefined })
  }

  async #refresh(): Promise<void> {
    if (this.state.state !== 'online' || typeof this.o.token !== 'function') return
    const current = this.#current()
    const auth = await this.#credentials()
    if (!current()) return
    const reply = await this.commands.run({ auth })
    if (!reply.err || !current()) return
    this.#denied(reply)
    throw errorOf(reply)
  }

  async #credentials(): Promise<object> {
    const { token, access, secret } = this.o
    if (token === undefined) return { access, secret }
    const refused = performance.now() - this.#refusedAt < patience
    return { token: typeof token === 'string' ? token : await token({ refused, signal: this.#abort.signal }) }
  }

  /** Returns a function that reports whether the attempt or connection of now is still there. */
  #current(): () => boolean {
    const generation = this.#generation
    return () => generation === this.#generation
  }

  /** Tries a transport. The first one is tried first in each attempt. */
  async #dial(index = 0): Promise<void> {
    const { url, o } = this
    let dialed = false, opened = false
    this.#generation++
    const current = this.#current()
    this.#abort = new AbortController()
    this.#timers = [deadline(o.connectTimeout, () => {
      if (dialed) this.#down(1006, 'timeout', 0, index, opened)
      else this.#lost(new RocketError('token', 'timeout'))
    })]
    this.#set({ state: 'connecting', attempt: this.#failed })
    if (!current()) return
    let auth: object, address: string
    try {
      // A turn passes here at least: a client that is closed in this turn has opened nothing.
      auth = await this.#credentials()
      address = typeof url === 'string' ? url : await url()
    } catch (error: any) {
      if (!current()) return
      if (error?.code === 'access_denied') return this.#fail(error)
      o.onError(error)
      return this.#lost(new RocketError('token', String(error)))
    }
    if (!current()) return
    dialed = true
    try {
      this.#link = this.#transports[index]!(address, {
        open: () => {
          if (!current()) return
          opened = true
          this.#link!.send(JSON.stringify({ auth, id: 0 }))
        },
        message: text => { if (current()) this.#hear(text) },
        down: (code, reason, retryAfter) => { if (current()) this.#down(code, reason, retryAfter, index, opened) },
      })
    } catch (error) {
      const why = new RocketError('unsupported', String(error))
      if (!this.#fallback(index, why)) this.#fail(why)
    }
  }

  /** Tries the next transport at once, if there is one. */
  #fallback(index: number, why: RocketError): boolean {
    if (index + 1 >= this.#transports.length) return false
    if (this.#drop(why)) this.#dial(index + 1)
    return true
  }

  #hear(text: string): void {
    this.#heartbeat.heard()
    let message: Reply
    try { message = Object(JSON.parse(text)) } catch { return }
    if (message.id === 0) this.#login(message)
    else if (message.id) this.commands.reply(message)
    else if (message.expires) this.#renew()
    else this.owner.heard(message, text)
  }

  /** The reply to auth. */
  #login(reply: Reply): void {
    if (reply.err) return this.#denied(reply)
    const { o } = this, link = this.#link!, { client, user } = reply
    this.#early = 0
    this.#timers.pop()!()
    this.#timers.push(after(o.stableAfter, () => { this.#failed = 0 }))
    o.maxMessageSize = reply.maxMessageSize ?? o.maxMessageSize
    this.together = reply.version && o.maxMessageSize >= 32_768 ? 50 : 1
    this.state = { state: 'online', transport: link.name, ...client && { client }, ...user && { user } }
    this.owner.online()
    this.commands.open(text => link.send(text))
    this.#heartbeat.start()
    this.owner.changed(this.state)
  }

  /** An error in reply to auth. */
  #denied(reply: Reply): void {
    const error = errorOf(reply)
    if (error.code === 'invalid_credentials' || error.code === 'token_expired') this.#refuse(error, typeof this.o.token === 'function')
    else if (error.code === 'invalid_data') this.#fail(error)
    else this.#lost(error)
  }

  /** The login is not valid. A new token may mend that, once. */
  #refuse(why: RocketError, mendable: boolean): void {
    const last = this.#refusedAt
    this.#refusedAt = performance.now()
    if (mendable && this.#refusedAt - last > patience) this.#lost(why)
    else this.#fail(why)
  }

  /** The server says that the token expires soon: it ends the connection if it gets no new one. */
  async #renew(n = 0): Promise<void> {
    const current = this.#current()
    try {
      await this.refresh()
    } catch (error) {
      if (!current()) return
      if (!n) this.o.onError(error)
      this.#timers.push(after(1000 + backoff(n, this.o), () => this.#renew(n + 1)))
    }
  }

  /** The link has ended. */
  #down(code: number, reason: string, retryAfter = 0, index: number, opened: boolean): void {
    const why = new RocketError('disconnected', `closed with ${code}${reason && ': ' + reason}`, code)
    switch (verdict(code)) {
      case 'stop': return this.#fail(why)
      case 'login': return this.#refuse(why, true)
      case 'soon': return this.#lost(why, 0, 0)
      case 'slowly': return this.#lost(why, Math.max(retryAfter, 1000))
    }
    // A proxy may refuse the first transport, or accept it and let nothing through.
    const useless = !opened || this.state.state === 'connecting' && ++this.#early >= 3
    if (!useless || !this.#fallback(index, why)) this.#lost(why, retryAfter)
  }

  /** Another attempt follows: n is how many have failed, 0 if it is not the server that has. */
  #lost(why: RocketError, more = 0, n = this.#failed++): void {
    if (this.#drop(why)) this.#wait(more + backoff(n, this.o), why)
  }

  #wait(delay: number, why: RocketError): void {
    this.#timers = [after(delay, () => this.#dial())]
    this.#set({ state: 'waiting', attempt: this.#failed, delay, why })
  }

  #wake(dead: boolean): void {
    const { state } = this
    if (state.state === 'waiting') {
      this.#timers.pop()!()
      this.#wait(Math.min(state.delay, backoff(0, this.o)), state.why)
    } else if (state.state === 'online') {
      if (dead) this.#lost(new RocketError('disconnected', 'timeout'), 0, 0)
      else this.#heartbeat.probe(this.o.probeTimeout)
    }
  }

  #fail(why: RocketError): void { this.#end({ state: 'failed', why }, why) }

  #end(state: State, why: RocketError): void {
    if (!this.#drop(why, true)) return
    this.#unwake?.()
    this.#unwake = undefined
    this.#set(state)
  }

  /** Forgets the link or the attempt, and its timers. It returns false if a handler that heard of it has done something else. */
  #drop(why: RocketError, closed?: boolean): boolean {
    this.#generation++
    const current = this.#current()
    this.#abort.abort()
    for (const cancel of this.#timers) cancel()
    this.#heartbeat.stop()
    this.#link?.close()
    this.#link = undefined
    this.commands.down(why, closed)
    this.owner.down(closed)
    return current()
  }

  #set(state: State): void {
    this.state = state
    this.owner.changed(state)
  }
}
