import type { RocketError } from './errors.js'

/** A place in the history of a channel. Both parts are the server's; do not make them up. */
export interface Position { epoch: string; offset: number }

export interface Event<D = unknown> {
  channel: string
  event: string
  /** Undefined if the event has no data. */
  data: D
  /** The place in the channel's history, if it keeps one. */
  offset?: number | undefined
  /** The data byte for byte, for numbers above 2^53 and the like. Events of `history` have none. */
  readonly text?: string
}

/**
 * Why events may be missing:
 *
 * - `first`: nothing has been heard yet. Only `load` is told.
 * - `reconnect`: the connection was away, and the channel keeps no history.
 * - `epoch`, `expired`, `ahead`: the connection was away, and the history does not go back far enough.
 * - `dropped`: this client read too slowly, and the server has left events out.
 * - `held`: more than `maxHeld` events came while `load` was at work, or an iterator was not read.
 */
export type GapReason = 'first' | 'reconnect' | 'epoch' | 'expired' | 'ahead' | 'dropped' | 'held'

export interface Gap {
  channel: string
  reason: GapReason
  /** How many events are missing, if that is known. */
  missed?: number
  /** The position before the gap, in channels with a history. */
  since?: Position
}

export interface Handlers<D = unknown> {
  /** Events, in the order in which they were published. What it throws goes to `onError`. */
  onEvent?(event: Event<D>): void
  /** Called before the first event behind a gap. */
  onGap?(gap: Gap): void
  /**
   * Fetches the present state, at first and after each gap. Events wait until it is done. If it
   * returns the offset up to which the state has the events, those up to it are skipped. If it
   * throws it is called again, later each time. `signal` is aborted when the result is not wanted any more.
   */
  load?(gap: Gap & { signal: AbortSignal }): Promise<number | void>
  onState?(state: SubscriptionState): void
  /** Notices of who comes and goes, as the server sends them once that is asked for. `presence` does, and makes a list of them. */
  onPresence?(notice: PresenceNotice): void
  /** Those notices have ended: `access_denied`, `expired`, `revoked` or `rule`. The subscription stays. `presence` asks for them again. */
  onPresenceEnd?(reason: string): void
}

export type SubscriptionState =
  | { state: 'subscribing' }
  | { state: 'subscribed' }
  | { state: 'ended'; error?: RocketError }

export interface Subscription {
  readonly channel: string
  readonly state: SubscriptionState
  /** Nothing is called any more from here on. */
  unsubscribe(): void
}

export type State =
  | { state: 'idle' }
  | { state: 'connecting'; attempt: number }
  | { state: 'online'; transport: string; client?: string; user?: string }
  | { state: 'waiting'; attempt: number; delay: number; why: RocketError }
  | { state: 'failed'; why: RocketError }

export interface Published {
  /** False if nobody subscribes, and the channel keeps no history. */
  heard: boolean
  /** The place of the event, in channels with a history. */
  offset?: number
  /** True if an event with this key had been published before, and so nothing was published now. */
  duplicate?: boolean
}

export interface PublishOptions {
  /**
   * Publishes at most once for a key, of 1 to 128 bytes. With a key a publish that was cut off is
   * sent again by itself. Make the key once for each event, not for each attempt.
   */
  key?: string
  signal?: AbortSignal
}

export interface HistoryOptions {
  /** The first events behind this position. */
  since?: Position
  /** The last events up to this position. Not with `since`. */
  until?: Position
  /** How many: 100 if it is missing, 1,000 at most. 0: none, only where the history stands. */
  limit?: number
  signal?: AbortSignal
}

export interface History<D = unknown> {
  /** The oldest first. */
  events: Event<D>[]
  /** That of the last event here, or of the newest there was: the next page is `since` it. */
  position: Position
  /** The offset of the oldest event that is kept. */
  first: number
  /** True if the history has more events in this direction. */
  more: boolean
}

/** Someone who is in a channel: a user, or a connection. */
export interface Member<I = unknown> {
  client?: string
  user?: string
  /** What the user's token lets others see. */
  info?: I
  /** The version of the list at which it has joined, or left. */
  at: number
}

/** How many are in a channel. */
export interface PresenceNumbers {
  /** Grows with each change. */
  version: number
  clients: number
  users: number
}

export interface PresenceNotice<I = unknown> extends PresenceNumbers {
  /** The version before the changes. */
  from: number
  joined?: Member<I>[]
  left?: Member<I>[]
}

export interface MembersOptions {
  /** `at` of the last member of the page before. */
  after?: number
  /** How many: 100 if it is missing, 1,000 at most. 0: none, only the numbers. */
  limit?: number
  signal?: AbortSignal
}

export interface Members<I = unknown> extends PresenceNumbers {
  members: Member<I>[]
  /** True if there are more behind these. */
  more: boolean
}

/** Who is in a channel. A new object for each change. */
export interface PresenceList<I = unknown> {
  /** In the order in which they came. */
  readonly members: readonly Member<I>[]
  /** How many connections, and how many users. */
  readonly clients: number
  readonly users: number
  /** False while the list is read, without a connection, and where there are so many that the server tells only numbers. */
  readonly complete: boolean
  /** Why the list cannot be had: `access_denied`, `not_available`, or what has ended the subscription. Nothing follows. */
  readonly error?: RocketError
}

export interface PresenceHandlers<I = unknown> {
  /** Called for those who are there at first, too. After a reconnect only differences are told. */
  onJoin?(member: Member<I>): void
  onLeave?(member: Member<I>): void
  /** Called after each change, before the two others. */
  onChange?(list: PresenceList<I>): void
}

export interface Presence<I = unknown> {
  readonly channel: string
  readonly list: PresenceList<I>
  /** Nothing is called any more from here on. */
  leave(): void
}

/** One way to reach the server. `url` is absolute, and may begin with ws: or http:. */
export type Transport = (url: string, on: LinkEvents) => Link

export interface Link {
  readonly name: string
  send(text: string): void
  /** The end of the link. Nothing that comes afterwards is heard. */
  close(): void
}

export interface LinkEvents {
  open(): void
  message(text: string): void
  /** code is a close code, or the status of an HTTP response; retryAfter is in milliseconds. */
  down(code: number, reason: string, retryAfter?: number): void
}

export interface TokenContext {
  /** True if the server has refused a login in the last minute. */
  refused: boolean
  signal: AbortSignal
}

/** Times are in milliseconds. */
export interface Options {
  /**
   * A token of your backend (docs/tokens.md), or a function that fetches one. The function is called for each
   * connection, when the server asks for a new token, and once more when it has refused one. If it
   * throws a RocketError `access_denied` the client gives up.
   */
  token?: string | ((context: TokenContext) => string | Promise<string>)
  /** A secret of the hub, for servers without tokens. */
  secret?: string
  /** What the secret is for: `read-only`. */
  access?: 'read-only' | 'read-write'
  /** In the order of preference: `[webSocket()]`. */
  transports?: Transport[]
  /** The wait before an attempt is random, from 0 to minDelay·2ⁿ, but not above maxDelay: 500, 30,000. */
  minDelay?: number
  maxDelay?: number
  /** How long a connection has to last before waits begin at minDelay again: 10,000. */
  stableAfter?: number
  /** How long a connection may take, token and login included: 10,000. */
  connectTimeout?: number
  /** How long a command may wait to be sent, and for its reply: 10,000. */
  commandTimeout?: number
  /** The silence after which the client asks whether the server is there: 30,000. */
  pingInterval?: number
  /** How long the server may take to answer that: 10,000. */
  pongTimeout?: number
  /** The same when the page has been away: 4,000. */
  probeTimeout?: number
  /** Commands that may be unanswered at a time: 8. */
  window?: number
  /** Commands that may wait to be sent, subscriptions not counted: 1,000. */
  maxPending?: number
  /** Events that may wait for `load`, of one handle: 1,000. */
  maxHeld?: number
  /** The longest command in bytes: 65,536. If the server says what it takes, that counts. */
  maxMessageSize?: number
  /** Gets what handlers, `load` and `token` throw. Without it reportError does, or the console. */
  onError?: (error: unknown) => void
  /** For tests: Math.random. */
  random?: () => number
}
