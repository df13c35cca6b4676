/**
 * What went wrong. Codes of the server are those of docs/protocol.md; the client has its own:
 *
 * - `offline`: the command could not be sent within `commandTimeout`.
 * - `unknown_outcome`: the publish was sent, and the connection ended before the reply came.
 * - `timeout`: the server did not answer in time.
 * - `too_large`: the command is longer than the server takes.
 * - `overloaded`: more than `maxPending` commands wait to be sent.
 * - `closed`: the client has been closed, or it has failed.
 * - `disconnected`: the connection has ended; `closeCode` says how.
 * - `token`: the callback `token` or `url` has thrown.
 * - `unsupported`: no transport works here.
 */
export type Code =
  | 'offline' | 'unknown_outcome' | 'timeout' | 'too_large' | 'overloaded' | 'closed' | 'disconnected' | 'token' | 'unsupported'
  | 'invalid_data' | 'invalid_credentials' | 'token_expired' | 'unavailable' | 'access_denied' | 'invalid_channel_name'
  | 'limit_exceeded' | 'rate_limited' | 'not_recovered' | 'not_available' | 'internal_error'
  | (string & {})

export class RocketError extends Error {
  override readonly name = 'RocketError'

  /**
   * closeCode is the close code of the connection, or the status of an HTTP response. maybeSent is true
   * if the event may have been published all the same.
   */
  constructor(readonly code: Code, message?: string, readonly closeCode?: number, readonly maybeSent = false) {
    super(message || code)
  }
}

/** The error in a reply. */
export const errorOf = ({ err, reason }: { err?: string; reason?: string }): RocketError => new RocketError(err!, reason)
