// Pusher's own client and server library and Laravel Echo: node pusher.js PORT APP KEY SECRET.
// The application's endpoints, for authorization and webhooks, are here too: the port of the latter is the first line
// that is printed. It prints what it has done, and "ok" at the end, or what went wrong.
'use strict'
const http = require('http')
const assert = require('assert')
const PusherClient = require('pusher-js')
const Pusher = require('pusher')

const [port, appId, key, secret, oldKey] = process.argv.slice(2)
const masterKey = Buffer.alloc(32, 7).toString('base64')
const server = new Pusher({ appId, key, secret, host: '127.0.0.1', port, useTLS: false, encryptionMasterKeyBase64: masterKey })
const fail = why => { console.log(why && why.stack || why); process.exit(1) }
process.on('unhandledRejection', fail)
setTimeout(() => fail('it takes too long'), 60000).unref()

// What the application of a user has: each client is the user of its own endpoint.
const hooks = []
let hooked = () => {}
const application = http.createServer((request, response) => {
  let body = ''
  request.on('data', d => { body += d })
  request.on('end', () => {
    const url = new URL(request.url, 'http://x')
    if (url.pathname === '/hook') {
      const hook = server.webhook({ headers: request.headers, rawBody: body })
      if (!hook.isValid()) return fail('a webhook is not valid: ' + body)
      hooks.push(...hook.getEvents())
      hooked()
      return response.end()
    }
    const q = new URLSearchParams(body)
    const user = url.searchParams.get('user')
    let answer
    if (url.pathname === '/user') answer = server.authenticateUser(q.get('socket_id'), { id: user })
    else if (q.get('channel_name').startsWith('presence-')) answer = server.authorizeChannel(q.get('socket_id'), q.get('channel_name'), { user_id: user, user_info: { name: 'of ' + user } })
    else if (q.get('channel_name') === 'private-forbidden') { response.statusCode = 403; answer = {} }
    else answer = server.authorizeChannel(q.get('socket_id'), q.get('channel_name'))
    response.setHeader('Content-Type', 'application/json')
    response.end(JSON.stringify(answer))
  })
})

const options = user => ({
  cluster: '', wsHost: '127.0.0.1', wsPort: +port, forceTLS: false, enabledTransports: ['ws'], disableStats: true,
  channelAuthorization: { transport: 'ajax', endpoint: `http://127.0.0.1:${application.address().port}/auth?user=${user}` },
  userAuthentication: { transport: 'ajax', endpoint: `http://127.0.0.1:${application.address().port}/user?user=${user}` },
})
const event = (target, name) => new Promise(resolve => {
  const f = (data, more) => { target.unbind(name, f); resolve(more && more.user_id ? [data, more] : data) }
  target.bind(name, f)
})
const subscribed = channel => channel.subscribed ? Promise.resolve() : event(channel, 'pusher:subscription_succeeded')
const connected = async client => {
  if (client.connection.state !== 'connected') await event(client.connection, 'connected')
  return client
}
const hook = async (name, channel) => {
  for (;;) {
    const found = hooks.find(h => h.name === name && h.channel === channel)
    if (found) return found
    await new Promise(resolve => { hooked = resolve })
  }
}
const step = name => console.log(name)

async function main () {
  await new Promise(resolve => application.listen(0, '127.0.0.1', resolve))
  console.log(application.address().port)
  await new Promise(resolve => process.stdin.once('data', resolve)) // the server has been told

  const a = await connected(new PusherClient(key, options('ann')))
  const b = await connected(new PusherClient(oldKey, options('bob')))

  step('public')
  const news = a.subscribe('news')
  await subscribed(news)
  let got = event(news, 'greet')
  await server.trigger(['news', 'nobody'], 'greet', { hello: 'wörld', n: [1, 2] })
  assert.deepStrictEqual(await got, { hello: 'wörld', n: [1, 2] })
  got = event(news, 'text')
  await server.trigger('news', 'text', 'just a text')
  assert.strictEqual(await got, 'just a text')
  await hook('channel_occupied', 'news')

  step('a batch')
  got = Promise.all([event(news, 'one'), event(news, 'two')])
  const batch = await server.triggerBatch([{ channel: 'news', name: 'one', data: 1 }, { channel: 'news', name: 'two', data: { a: 2 } }])
  assert.strictEqual(batch.status, 200)
  assert.deepStrictEqual(await got, [1, { a: 2 }])

  step('private')
  const [pa, pb] = [a, b].map(c => c.subscribe('private-room'))
  await Promise.all([subscribed(pa), subscribed(pb)])
  const forbidden = a.subscribe('private-forbidden')
  assert.strictEqual((await event(forbidden, 'pusher:subscription_error')).status, 403)

  step('all but one')
  got = event(pb, 'e')
  pa.bind('e', () => fail('the one that is left out has the event'))
  await server.trigger('private-room', 'e', {}, { socket_id: a.connection.socket_id })
  await got

  step('client events')
  got = event(pb, 'client-typing')
  pa.trigger('client-typing', { who: 'ann' })
  assert.deepStrictEqual(await got, { who: 'ann' })
  const told = await hook('client_event', 'private-room')
  assert.strictEqual(told.data, '{"who":"ann"}')
  assert.strictEqual(told.socket_id, a.connection.socket_id)

  step('presence')
  const ra = a.subscribe('presence-room')
  await subscribed(ra)
  assert.strictEqual(ra.members.me.id, 'ann')
  assert.deepStrictEqual(ra.members.me.info, { name: 'of ann' })
  got = event(ra, 'pusher:member_added')
  const rb = b.subscribe('presence-room')
  await subscribed(rb)
  assert.strictEqual((await got).id, 'bob')
  assert.strictEqual(rb.members.count, 2)
  ra.bind('pusher:member_added', () => fail('a second tab is a member'))
  const tab = await connected(new PusherClient(key, options('bob')))
  const rt = tab.subscribe('presence-room')
  await subscribed(rt)
  assert.strictEqual(rt.members.count, 2)
  got = event(rb, 'client-hi')
  ra.trigger('client-hi', {})
  assert.deepStrictEqual((await got)[1], { user_id: 'ann' })
  const users = await server.get({ path: '/channels/presence-room/users' })
  assert.deepStrictEqual((await users.json()).users.map(u => u.id).sort(), ['ann', 'bob'])
  ra.unbind('pusher:member_added')
  b.unsubscribe('presence-room')
  got = event(ra, 'pusher:member_removed')
  tab.disconnect()
  assert.strictEqual((await got).id, 'bob')
  await hook('member_added', 'presence-room')
  assert.strictEqual((await hook('member_removed', 'presence-room')).user_id, 'bob')

  step('encrypted')
  const [ea, eb] = [a, b].map(c => c.subscribe('private-encrypted-room'))
  await Promise.all([subscribed(ea), subscribed(eb)])
  got = Promise.all([event(ea, 'secret'), event(eb, 'secret')])
  await server.trigger('private-encrypted-room', 'secret', { the: 'secret' })
  assert.deepStrictEqual(await got, [{ the: 'secret' }, { the: 'secret' }])

  step('cached')
  const missed = a.subscribe('cache-room')
  await event(missed, 'pusher:cache_miss')
  await hook('cache_miss', 'cache-room')
  got = event(missed, 'state')
  await server.trigger('cache-room', 'state', { n: 1 })
  await got
  assert.deepStrictEqual(await event(b.subscribe('cache-room'), 'state'), { n: 1 })

  step('counts')
  assert.ok(a.channel('news').subscriptionCount >= 1)
  const channels = await (await server.get({ path: '/channels', params: { filter_by_prefix: 'presence-', info: 'user_count' } })).json()
  assert.deepStrictEqual(channels, { channels: { 'presence-room': { user_count: 1 } } })

  step('a user')
  a.signin()
  got = event(a.user, 'for-you')
  await a.user.signinDonePromise
  while (!a.user.serverToUserChannel || !a.user.serverToUserChannel.subscribed) await new Promise(setImmediate)
  await server.sendToUser('ann', 'for-you', { x: 1 })
  assert.deepStrictEqual(await got, { x: 1 })

  step('Echo')
  const { default: Echo } = await import('laravel-echo')
  for (const broadcaster of ['reverb', 'pusher']) {
    const echo = new Echo({
      broadcaster, key, Pusher: PusherClient, ...options('eve'), authEndpoint: `http://127.0.0.1:${application.address().port}/auth?user=eve`, withoutInterceptors: true,
    })
    const here = new Promise(resolve => echo.join('echo').here(resolve))
    assert.deepStrictEqual(await here, [{ name: 'of eve' }])
    const order = new Promise(resolve => echo.private('orders').listen('.shipped', resolve))
    const whisper = new Promise(resolve => echo.private('orders').listenForWhisper('typing', resolve))
    const other = await connected(new PusherClient(key, options('fay')))
    const orders = other.subscribe('private-orders')
    await subscribed(orders)
    await subscribed(echo.private('orders').subscription)
    await server.trigger('private-orders', 'shipped', { id: 1 }, { socket_id: other.connection.socket_id })
    assert.deepStrictEqual(await order, { id: 1 })
    orders.trigger('client-typing', { n: 1 })
    assert.deepStrictEqual(await whisper, { n: 1 })
    echo.disconnect()
    other.disconnect()
  }

  step('terminate')
  got = event(a.connection, 'disconnected').catch(fail)
  await server.terminateUserConnections('ann')
  await got

  step('away')
  const last = b.subscribe('last')
  await subscribed(last)
  const back = event(last, 'back')
  console.log('end the server')
  await new Promise(resolve => process.stdin.once('data', resolve))
  for (;;) { // it comes back by itself, and hears what it has subscribed to
    await server.trigger('last', 'back', {}).catch(() => {})
    if (await Promise.race([back.then(() => true), new Promise(resolve => setTimeout(resolve, 100))])) break
  }
  console.log('ok')
  process.exit(0)
}
main().catch(fail)
