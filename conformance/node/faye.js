// A client of the faye-websocket package, which asks for a window of the server: node faye.js URL BITS.
// It prints "ok", or what went wrong.
'use strict'
const WebSocket = require('faye-websocket')
const deflate = require('permessage-deflate')

const [url, bits] = process.argv.slice(2)
const extensions = [deflate.configure({ requestMaxWindowBits: Number(bits) })]
const messages = ['', 'hello', 'κόσμε'.repeat(100), 'x'.repeat(60000)]
const ws = new WebSocket.Client(url, [], { extensions })
let heard = 0

const fail = why => { console.log(why); process.exit(1) }
ws.on('error', err => fail('error: ' + err.message))
ws.on('open', () => {
  const agreed = ws.headers['sec-websocket-extensions']
  if (!agreed.includes('server_max_window_bits=' + bits)) fail('agreed on ' + agreed)
  messages.forEach(m => ws.send(m))
})
ws.on('message', ({ data }) => {
  if (data !== messages[heard++]) fail('message ' + heard + ' differs')
  if (heard === messages.length) ws.close(1000, 'bye')
})
ws.on('close', ({ code }) => {
  if (code !== 1000 || heard !== messages.length) fail(`close ${code} after ${heard} messages`)
  console.log('ok')
})
