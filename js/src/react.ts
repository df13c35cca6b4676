import { useCallback, useEffect, useInsertionEffect, useRef, useState, useSyncExternalStore } from 'react'
import type { Client } from './client.js'
import { presence } from './presence.js'
import type { Handlers, PresenceList, State, SubscriptionState } from './types.js'

/** The state of the client's connection. */
export function useConnection(client: Client): State {
  const subscribe = useCallback((changed: () => void) => client.onState(changed), [client])
  const state = () => client.state
  return useSyncExternalStore(subscribe, state, state)
}

/**
 * Hears a channel while the component is mounted, with the handlers of the latest render, and returns the
 * state of the subscription. null is no channel. Make the client outside of components: it opens nothing until it is used.
 */
export function useChannel<D = unknown>(client: Client, channel: string | null, handlers: Handlers<D>): SubscriptionState {
  const [state, setState] = useState<SubscriptionState>({ state: 'subscribing' })
  const latest = useRef(handlers), loads = !!handlers.load
  useInsertionEffect(() => { latest.current = handlers })
  useEffect(() => {
    if (channel === null) return
    const subscription = client.subscribe<D>(channel, {
      onEvent: event => latest.current.onEvent?.(event),
      onGap: gap => latest.current.onGap?.(gap),
      onState(state) {
        setState(state)
        latest.current.onState?.(state)
      },
      ...loads && { load: gap => latest.current.load!(gap) },
    })
    setState(subscription.state)
    return () => subscription.unsubscribe()
  }, [client, channel, loads])
  return state
}

const nobody: PresenceList<never> = { members: [], clients: 0, users: 0, complete: false }

/** Returns who is in a channel, and is there itself while the component is mounted. null is no channel. */
export function usePresence<I = unknown>(client: Client, channel: string | null): PresenceList<I> {
  const [list, setList] = useState<PresenceList<I>>(nobody)
  useEffect(() => {
    if (channel === null) return
    const { leave } = presence<I>(client, channel, { onChange: setList })
    return () => {
      leave()
      setList(nobody)
    }
  }, [client, channel])
  return list
}
