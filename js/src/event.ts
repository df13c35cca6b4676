import type { Reply } from './commands.js'
import type { Event } from './types.js'

/** The event in a message; message is the text of it. */
export function eventOf({ channel, event, data, offset }: Reply, message: string): Event {
  return {
    channel, event, data, offset,
    // The data stands behind the names, in which no quote is without a backslash, and before the offset.
    get text() {
      return data !== undefined && message.slice(message.indexOf(',"data":') + 8, message.lastIndexOf(offset === undefined ? '}' : ',"offset":')) || ''
    },
  }
}
