// What a page gets as the global webrocket.
export * from './index.js'
export { stream } from './stream.js'
