// A client of the ws package: node client.js URL CAFILE MAXVERSION.
// It prints "ok", or what went wrong.
'use strict'
const fs = require('fs')
const WebSocket = require('ws')

const [url, ca, maxVersion] = process.argv.slice(2)
const messages = ['', 'hello', 'κόσμε', 'x'.repeat(60000), Buffer.from([0, 1, 255]), Buffer.alloc(60000, 7)]
const ws = new WebSocket(url, { ca: fs.readFileSync(ca), maxVersion })
let heard = 0
let ponged = false

const fail = why => { console.log(why); process.exit(1) }
ws.on('error', err => fail('error: ' + err.message))
ws.on('pong', data => { ponged = data.toString() === 'p' })
ws.on('open', () => { ws.ping('p'); messages.forEach(m => ws.send(m)) })
ws.on('message', (data, isBinary) => {
  const want = messages[heard++]
  if (isBinary !== Buffer.isBuffer(want) || !data.equals(Buffer.from(want))) fail('message ' + heard + ' differs')
  if (heard === messages.length) ws.close(1000, 'bye')
})
ws.on('close', code => {
  if (code !== 1000 || heard !== messages.length || !ponged) fail(`close ${code} after ${heard} messages, pong: ${ponged}`)
  console.log('ok')
})
